"""Whose trouble a refusal is: what Postfix was heard to say, and what other servers are known to say."""

import pytest

from tests.replies.postfix_replies import REPLIES
from webapp.replies.blame import Blame, blame, of_answer

OF_POSTFIX = {
    "HELO is no full name": Blame.US,
    "HELO is no full name, said at once": Blame.US,
    "HELO is no name": Blame.US,
    "HELO is refused": Blame.US,
    "HELO is refused with words": Blame.US,
    "client is refused": Blame.US,
    "client is refused, said at once": Blame.US,
    "client is blocked with words": Blame.US,
    "client has no name": Blame.US,
    "sender is refused": Blame.US,
    "sender is refused, said at once": Blame.US,
    "sender is no full address": Blame.US,
    "sender is unknown": Blame.US,  # with 5.1.0, and "User unknown"
    "relay is denied for now": Blame.US,
    "relay is denied": Blame.US,
    "user is unknown": Blame.ADDRESS,
    "user is unknown, said with 450": Blame.TIME,
    "mailbox is gone": Blame.ADDRESS,
    "mailbox is disabled": Blame.MAILBOX,
    "mailbox is full": Blame.MAILBOX,
    "mailbox is full for now": Blame.TIME,
    "recipient is refused": Blame.UNCLEAR,
    "recipient is no full address": Blame.US,
    "greylisted": Blame.TIME,
    "greylisted with 451": Blame.TIME,
    "message is too large": Blame.MESSAGE,
    "message is too large, said beforehand": Blame.MESSAGE,
    "disk is full": Blame.TIME,
    "TLS is required": Blame.US,
    "log-in is required": Blame.US,
    "log-in is not offered": Blame.US,
    "too many recipients in a while": Blame.US,
    "too many messages in a while": Blame.US,
    "too many connections": Blame.US,
    "content is refused": Blame.UNCLEAR,
}

OF_OTHERS = [
    (550, "5.1.1", "The email account that you tried to reach does not exist.", Blame.ADDRESS),
    (550, "5.1.10", "RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup", Blame.ADDRESS),
    (550, "", "No such user here", Blame.ADDRESS),
    (550, "", "<susan@example.com>: Unknown user", Blame.ADDRESS),
    (550, "", "Unrouteable address: user unknown", Blame.ADDRESS),
    (553, "", "sorry, that recipient is invalid: mailbox not found", Blame.ADDRESS),
    (551, "", "User not local; please try elsewhere", Blame.ADDRESS),
    (550, "5.1.1", "<relay-sender@example.com>: user unknown", Blame.ADDRESS),
    (554, "5.0.0", "User unknown", Blame.ADDRESS),
    (554, "5.4.4", "Unable to route", Blame.UNCLEAR),
    (550, "5.1.8", "Bad sender's system address", Blame.US),
    (550, "5.1.0", "Address rejected: sender verify failed", Blame.US),
    (550, "", "relay not permitted", Blame.US),
    (550, "", "Sender verify failed", Blame.US),
    (553, "5.7.1", "<no-reply@blog.test>: Sender address rejected: not owned by user susan", Blame.US),
    (535, "5.7.8", "Error: authentication failed", Blame.US),
    (530, "5.7.0", "Authentication required", Blame.US),
    (538, "5.7.11", "Encryption required for requested authentication mechanism", Blame.US),
    (550, "5.7.1", "Our system has detected an unusual rate of unsolicited mail from your IP address", Blame.US),
    (550, "5.7.26", "This mail is unauthenticated: SPF and DKIM did not pass", Blame.US),
    (554, "", "Your access to this mail system has been rejected: poor reputation", Blame.US),
    (503, "5.5.1", "Error: need MAIL command", Blame.US),
    (504, "", "need fully-qualified hostname", Blame.US),
    (554, "", "Transaction failed", Blame.US),
    (550, "5.4.1", "Recipient address rejected: Access denied", Blame.UNCLEAR),
    (550, "", "Requested action not taken: mailbox unavailable", Blame.UNCLEAR),
    (550, "5.2.2", "The email account that you tried to reach is over quota", Blame.MAILBOX),
    (550, "", "Mailbox is full", Blame.MAILBOX),
    (552, "", "Requested mail action aborted: exceeded storage allocation", Blame.MAILBOX),
    (552, "5.2.3", "Message length exceeds administrative limit", Blame.MESSAGE),
    (550, "5.6.0", "Malformed message", Blame.MESSAGE),
    (421, "4.7.0", "Try again later, closing connection", Blame.TIME),
    (450, "4.2.0", "<susan@example.com>: Recipient address rejected: Greylisted", Blame.TIME),
    (450, "", "user unknown", Blame.TIME),
    # Yandex, Mail.ru
    (550, "5.7.1", "No such user!", Blame.ADDRESS),
    (
        550,
        "",
        "Message was not accepted -- invalid mailbox. Local mailbox is unavailable: user not found",
        Blame.ADDRESS,
    ),
    (451, "", "Ratelimit exceeded for mailbox noreply@example.com. Try again later.", Blame.US),
    (550, "5.2.2", "Mailbox size limit exceeded", Blame.MAILBOX),
    (550, "5.7.1", "Policy rejection on the target address", Blame.US),
    # Gmail: of the person's rate, and of ours
    (450, "4.2.1", "The user you are trying to contact is receiving mail at a rate that prevents more", Blame.TIME),
    (550, "5.2.1", "The user you are trying to contact is receiving mail at a rate that prevents more", Blame.MAILBOX),
    (421, "4.7.28", "An unusual rate of unsolicited mail originating from your IP address", Blame.US),
    # Exchange, Outlook
    (550, "5.5.0", "Requested action not taken: mailbox unavailable (S2017062302).", Blame.UNCLEAR),
    (550, "5.7.124", "SenderNotInAllowedSendersList", Blame.UNCLEAR),
    (550, "5.7.133", "RESOLVER.RST.SenderNotAuthenticatedForGroup", Blame.UNCLEAR),
    (550, "5.7.64", "TenantAttribution; Relay Access Denied", Blame.US),
    (550, "5.7.606", "Access denied, banned sending IP [192.0.2.1]", Blame.US),
    # Exim as cPanel words it, Sendmail, Yahoo
    (550, "", "The account or domain may not exist, they may be blacklisted, or missing the proper dns", Blame.UNCLEAR),
    (550, "5.7.1", "<susan@example.com>... Relaying denied. IP name lookup failed [192.0.2.1]", Blame.US),
    (553, "5.3.0", "<susan@example.com>... No such user here", Blame.ADDRESS),
    (554, "", "delivery error: dd This user doesn't have a yahoo.com account [0]", Blame.ADDRESS),
    (554, "", "delivery error: dd This mailbox is disabled (554.30).", Blame.MAILBOX),
    (550, "", "user suspended", Blame.MAILBOX),
    (550, "", "Your account has been suspended", Blame.US),
    (550, "5.1.1", "User unknown in relay recipient table", Blame.ADDRESS),
    (550, "5.4.5", "Daily user sending limit exceeded", Blame.US),
    (454, "", "Throttling failure: Maximum sending rate exceeded", Blame.US),
    (550, "5.1.90", "Your message can't be sent because you've reached your daily limit", Blame.US),
    (530, "", "5.7.0 Must issue a STARTTLS command first", Blame.US),
]


def test_every_reply_that_was_heard_is_judged() -> None:
    assert OF_POSTFIX.keys() == REPLIES.keys()


@pytest.mark.parametrize("name", REPLIES)
def test_postfix_is_understood(name: str) -> None:
    _where, code, enhanced, text = REPLIES[name]

    assert blame(code, enhanced, text) is OF_POSTFIX[name]


@pytest.mark.parametrize(("code", "enhanced", "text", "meant"), OF_OTHERS)
def test_other_servers_are_understood(code: int, enhanced: str, text: str, meant: Blame) -> None:
    assert blame(code, enhanced, text) is meant
    assert of_answer(code, f"{enhanced} {text}".strip()) is meant


@pytest.mark.parametrize("word", ["relay", "sender", "helo", "auth", "rate", "tls", "blocked"])
def test_words_in_an_address_do_not_count(word: str) -> None:
    for address in (f"<{word}@{word}.example>", f"{word}@example.com:", f"{word}.{word}@example.com..."):
        assert blame(550, "5.1.1", f"{address} User unknown") is Blame.ADDRESS
