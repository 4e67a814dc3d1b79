"""Log in, log out, who is asking, and how they prove it again; also the page that waits for an email."""
