"""Who may come in: the site's mode, requests that the admin decides, invitations by members, and no robots."""
