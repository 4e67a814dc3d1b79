"""The pages where people look after their own account."""
