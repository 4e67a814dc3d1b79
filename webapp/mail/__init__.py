"""How letters leave, and why none is lost. Knows nothing of accounts.

`mail.send(db, settings, subject=…, text=…, to=[…])` is the general door; docs/mail.md tells the rest.
"""

from webapp.mail.general import Attachment, send

__all__ = ["Attachment", "send"]
