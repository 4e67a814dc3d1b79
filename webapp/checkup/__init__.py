"""The check-up: can you get back in? Each way back with its state, and a test that proves that it works."""
