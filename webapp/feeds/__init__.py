"""What is new, for programs that ask for it: Atom feeds."""
