"""Take it with you: everything of yours in one file, made in the background."""
