"""Bring your posts: an archive that somebody uploads is imported in the background. See `archives` for the way out."""
