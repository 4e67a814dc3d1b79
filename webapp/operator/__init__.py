"""For the admin: is mail leaving, and what broke?"""
