"""For development: the mailbox page, samples of every email, and checks of what is wrong with one."""
