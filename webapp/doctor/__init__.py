"""Is the site set up right? What `doctor` and `send-test-mail` find out, in words."""
