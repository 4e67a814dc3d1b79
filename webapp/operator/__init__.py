"""For whoever runs the site: is everything set up right, does mail flow, and what broke."""
