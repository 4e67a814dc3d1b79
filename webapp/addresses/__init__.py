"""Change the address of an account: the new address confirms it, the old one can undo it."""
