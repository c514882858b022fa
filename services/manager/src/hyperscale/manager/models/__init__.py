"""What the manager keeps and passes around."""
