"""What Postfix 3.7.11 answered in each of the ways in which it was made to refuse.

Real servers are started in `tests/neighbours/test_mail_servers.py`.

With its default, `smtpd_delay_reject = yes`, it says everything about client, HELO and sender after RCPT.
"""

from typing import NamedTuple


class Reply(NamedTuple):
    """Where in the conversation it came, its code, its enhanced status if it has one, and its words."""

    where: str
    code: int
    enhanced: str
    text: str


REPLIES: dict[str, Reply] = {
    "HELO is no full name": Reply(
        where="RCPT",
        code=504,
        enhanced="5.5.2",
        text="<localhost>: Helo command rejected: need fully-qualified hostname",
    ),
    "HELO is no full name, said at once": Reply(
        where="EHLO",
        code=504,
        enhanced="5.5.2",
        text="<localhost>: Helo command rejected: need fully-qualified hostname",
    ),
    "HELO is no name": Reply(
        where="RCPT", code=501, enhanced="5.5.2", text="<-x_>: Helo command rejected: Invalid name"
    ),
    "HELO is refused": Reply(
        where="RCPT", code=554, enhanced="5.7.1", text="<site.blog.test>: Helo command rejected: Access denied"
    ),
    "HELO is refused with words": Reply(
        where="RCPT",
        code=550,
        enhanced="5.7.1",
        text="<site.blog.test>: Helo command rejected: You are not who you say you are",
    ),
    "client is refused": Reply(
        where="RCPT", code=554, enhanced="5.7.1", text="<unknown[127.0.0.1]>: Client host rejected: Access denied"
    ),
    "client is refused, said at once": Reply(
        where="connect", code=554, enhanced="5.7.1", text="<unknown[127.0.0.1]>: Client host rejected: Access denied"
    ),
    "client is blocked with words": Reply(
        where="RCPT",
        code=554,
        enhanced="5.7.1",
        text="<unknown[127.0.0.1]>: Client host rejected: Service unavailable; blocked using a list",
    ),
    "client has no name": Reply(
        where="RCPT", code=450, enhanced="4.7.25", text="Client host rejected: cannot find your hostname, [127.0.0.1]"
    ),
    "sender is refused": Reply(
        where="RCPT", code=554, enhanced="5.7.1", text="<no-reply@blog.test>: Sender address rejected: Access denied"
    ),
    "sender is refused, said at once": Reply(
        where="MAIL", code=554, enhanced="5.7.1", text="<no-reply@blog.test>: Sender address rejected: Access denied"
    ),
    "sender is no full address": Reply(
        where="RCPT",
        code=504,
        enhanced="5.5.2",
        text="<no-reply@localhost>: Sender address rejected: need fully-qualified address",
    ),
    "sender is unknown": Reply(
        where="RCPT",
        code=550,
        enhanced="5.1.0",
        text="<nobody@blog.test>: Sender address rejected: User unknown in local recipient table",
    ),
    "relay is denied for now": Reply(
        where="RCPT", code=454, enhanced="4.7.1", text="<susan@elsewhere.test>: Relay access denied"
    ),
    "relay is denied": Reply(
        where="RCPT", code=554, enhanced="5.7.1", text="<susan@elsewhere.test>: Relay access denied"
    ),
    "user is unknown": Reply(
        where="RCPT",
        code=550,
        enhanced="5.1.1",
        text="<nobody@blog.test>: Recipient address rejected: User unknown in local recipient table",
    ),
    "user is unknown, said with 450": Reply(
        where="RCPT",
        code=450,
        enhanced="4.1.1",
        text="<nobody@blog.test>: Recipient address rejected: User unknown in local recipient table",
    ),
    "mailbox is gone": Reply(
        where="RCPT", code=550, enhanced="5.1.6", text="<gone@blog.test>: Recipient address rejected: Mailbox has moved"
    ),
    "mailbox is disabled": Reply(
        where="RCPT", code=550, enhanced="5.2.1", text="<gone@blog.test>: Recipient address rejected: Mailbox disabled"
    ),
    "mailbox is full": Reply(
        where="RCPT", code=552, enhanced="5.2.2", text="<full@blog.test>: Recipient address rejected: Mailbox is full"
    ),
    "mailbox is full for now": Reply(
        where="RCPT", code=452, enhanced="4.2.2", text="<full@blog.test>: Recipient address rejected: Mailbox is full"
    ),
    "recipient is refused": Reply(
        where="RCPT", code=554, enhanced="5.7.1", text="<susan@blog.test>: Recipient address rejected: Access denied"
    ),
    "recipient is no full address": Reply(
        where="RCPT",
        code=504,
        enhanced="5.5.2",
        text="<susan@localhost>: Recipient address rejected: need fully-qualified address",
    ),
    "greylisted": Reply(
        where="RCPT",
        code=450,
        enhanced="4.7.1",
        text="<grey@blog.test>: Recipient address rejected: Greylisted, please try again in 300 seconds",
    ),
    "greylisted with 451": Reply(
        where="RCPT",
        code=451,
        enhanced="4.7.1",
        text="<grey@blog.test>: Recipient address rejected: Greylisting in action, please come back later",
    ),
    "message is too large": Reply(where="end of DATA", code=552, enhanced="5.3.4", text="Error: message file too big"),
    "message is too large, said beforehand": Reply(
        where="MAIL", code=552, enhanced="5.3.4", text="Message size exceeds fixed limit"
    ),
    "disk is full": Reply(where="MAIL", code=452, enhanced="4.3.1", text="Insufficient system storage"),
    "TLS is required": Reply(where="MAIL", code=530, enhanced="5.7.0", text="Must issue a STARTTLS command first"),
    "log-in is required": Reply(
        where="RCPT", code=554, enhanced="5.7.1", text="<unknown[127.0.0.1]>: Client host rejected: Access denied"
    ),
    "log-in is not offered": Reply(where="AUTH", code=503, enhanced="5.5.1", text="Error: authentication not enabled"),
    "too many recipients in a while": Reply(
        where="RCPT", code=450, enhanced="4.7.1", text="Error: too many recipients from 127.0.0.1"
    ),
    "too many messages in a while": Reply(
        where="MAIL", code=450, enhanced="4.7.1", text="Error: too much mail from 127.0.0.1"
    ),
    "too many connections": Reply(
        where="connect", code=421, enhanced="4.7.0", text="mail.blog.test Error: too many connections from 127.0.0.1"
    ),
    "content is refused": Reply(
        where="DATA", code=554, enhanced="5.7.1", text="<susan@blog.test>: Recipient address rejected: Spam"
    ),
}
