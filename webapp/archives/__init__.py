"""Take it with you: everything of one's own in one file, made in the background; and posts brought in again."""
