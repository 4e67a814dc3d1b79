"""Export your data: everything of yours in one file, made in the background."""
