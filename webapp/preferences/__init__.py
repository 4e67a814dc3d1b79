"""The settings pages, where people look after their own account."""
