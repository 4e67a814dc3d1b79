""" "This wasn't me", the link in every security email: it closes the account until its owner has a new password."""
