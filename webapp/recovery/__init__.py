"""The ways back in, and "this wasn't me"."""
