"""Replies and mentions: what people say to each other."""
