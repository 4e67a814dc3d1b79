"""Emails that come back, and complaints about them: read, believed only with a proof, and written down."""
