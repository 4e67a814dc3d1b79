"""What mail servers say: what each answer means for the email, whose fault it is, and what to do about it."""
