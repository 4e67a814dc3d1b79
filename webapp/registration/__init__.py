"""Register: prove a mailbox, choose a username, and wait for the admin where the site's mode says so."""
