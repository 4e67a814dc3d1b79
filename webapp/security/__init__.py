"""What happened to accounts, and from where: the audit log, the known browsers, the addresses that were changed."""
