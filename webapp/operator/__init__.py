"""For whoever runs the site: is mail leaving, and what broke?"""
