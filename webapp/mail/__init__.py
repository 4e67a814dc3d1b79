"""What to write to whom, and what became of it. Knows nothing of accounts; `webapp.delivery` sends it.

`mail.send(db, settings, subject=…, text=…, to=[…])` sends any email; docs/mail.md tells the rest.
"""

from webapp.mail.general import Attachment, send

__all__ = ["Attachment", "send"]
