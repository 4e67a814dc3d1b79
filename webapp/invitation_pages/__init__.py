"""Invitations by members: the page to make, count and revoke them, and the page behind their links."""
