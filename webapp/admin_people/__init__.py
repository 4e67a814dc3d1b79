"""The admin's page of people: who waits to be let in, who is here, and what can be done about an account."""
