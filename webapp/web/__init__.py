"""How a request becomes a page. Knows no feature."""
