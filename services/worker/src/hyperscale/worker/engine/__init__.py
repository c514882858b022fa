"""One process that makes load on one core, steered by frames over an inherited socket."""
