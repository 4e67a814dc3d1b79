"""Leave: delete your account, undo that within some days, and what then happens to each table."""
