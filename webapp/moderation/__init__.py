"""What the host does about posts and people that others complain of."""
