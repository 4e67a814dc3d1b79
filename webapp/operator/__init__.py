"""For whoever runs the site: is it set up right, is mail leaving, and what broke?"""
