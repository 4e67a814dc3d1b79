"""What is to be written to whom, and what became of it. Knows nothing of accounts; `webapp.delivery` takes it away.

`mail.send(db, settings, subject=…, text=…, to=[…])` is the general door; docs/mail.md tells the rest.
"""

from webapp.mail.general import Attachment, send

__all__ = ["Attachment", "send"]
