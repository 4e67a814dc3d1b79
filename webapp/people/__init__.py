"""People and who follows whom."""
