"""Change the address of an account: the new one confirms, the old one can undo it."""
