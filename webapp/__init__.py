"""Microblog: a small self-hosted social site whose accounts and mail can be trusted.

Read it in this order:

1. `routes.py`, the site map: every path and the view that answers it.
2. `recovery/`, the main job: forget a password, follow a link, get back in. `authentication/` is the front door.
3. `accounts/tokens.py` and `accounts/endings.py`: what a link is worth, and what ends it.
4. `mail/outbox.py` and `delivery/mailer.py`: how an email leaves, and why it is not lost.
5. `app.py`, which puts all of it together.

A folder is a room; the first line of its `__init__.py` says what it is for. `web` and `database` are the toolkit and
know no feature; docs/architecture.md says who may import whom.
"""
