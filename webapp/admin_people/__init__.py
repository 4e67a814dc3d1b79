"""The admin's page of people: who is waiting for an account, who has one, and what can be done about it."""
