"""Microblog: a small self-hosted social site whose accounts and mail can be trusted.

Read it in this order:

1. `routes.py`, the site map: every path and the view that answers it.
2. `accounts/views.py` and `recovery/views.py`, the main job: register, log in, forget a password, get back in.
3. `accounts/tokens.py` and `accounts/users.py`: what a link is worth, and what ends it.
4. `mail/outbox.py` and `delivery/mailer.py`: how a letter leaves, and why it is not lost.
5. `app.py`, which puts all of it together.

The other modules of this folder are the toolkit. They know nothing of accounts or letters.
"""
