"""What people do with posts of their own: edit them for a while, delete them, take that back."""
