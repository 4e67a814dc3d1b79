"""Emails that come back, and complaints about emails: read, believed only with proof, and recorded."""
