"""Leave: have one's account deleted, undo that for some days, and what then becomes of each table."""
