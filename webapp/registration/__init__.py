"""Who may come in: the site's mode, requests that an admin decides, and no robots."""
