"""A weekly email with what a person missed."""
