"""Leave: delete your account, undo that for some days, and what then happens to each table."""
