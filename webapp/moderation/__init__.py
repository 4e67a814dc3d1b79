"""Reports, and what the admin does about the posts and people in them."""
