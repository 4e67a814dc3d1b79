"""What mail servers say: what each answer means for the email, whose fault it is, what to do, and where bounces go."""
