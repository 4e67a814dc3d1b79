"""Invitations by members: the page on which one makes, counts and revokes them, and the one behind their links."""
