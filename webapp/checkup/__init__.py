"""The check-up: can you get back in? Each way back, its state, and a test that it works."""
