"""Log in, log out, register, and who is asking."""
