"""The pages of passkeys: add, name and remove them, and log in with one."""
