"""For development: the mailbox page, samples of every email, and what is wrong with one."""
