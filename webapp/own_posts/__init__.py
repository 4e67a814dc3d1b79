"""What people do with their own posts: edit them for a while, delete them, undo that."""
