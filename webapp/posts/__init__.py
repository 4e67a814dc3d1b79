"""Posts: write, read and delete them."""
