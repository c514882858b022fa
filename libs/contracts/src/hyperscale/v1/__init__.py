"""The protocol of Hyperscale: generated messages, servicers and stubs, and the few constants that belong to them."""
