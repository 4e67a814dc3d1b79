"""Find posts and people by their words."""
