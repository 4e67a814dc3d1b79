"""The settings of one's own account, under one roof."""
