"""What people are called: usernames and emails as they are compared, and usernames that nobody can have."""
