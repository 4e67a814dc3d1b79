"""What happened to accounts, and from where: the audit log, and the browsers that a person is known by."""
