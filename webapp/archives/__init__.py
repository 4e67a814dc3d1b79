"""Take it with you: everything of your own in one file, made in the background."""
