"""What people say to each other: replies under a post."""
