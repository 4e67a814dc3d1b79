"""Mute and block people, and take that back."""
