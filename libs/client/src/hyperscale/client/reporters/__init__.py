"""Where results go besides the screen."""
