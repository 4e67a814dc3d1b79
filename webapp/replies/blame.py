"""Whose fault a refusal is: the address, the mailbox, this message, or us.

Mail servers such as Postfix refuse our HELO, our address or our sender only after RCPT, so the stage of a refusal says
nothing. Its enhanced status (RFC 3463, RFC 5248) and its words do.
"""

import re
from enum import Enum


class Blame(Enum):
    ADDRESS = "nobody has this address"
    MAILBOX = "the mailbox can't take it: full, or disabled"
    MESSAGE = "this message can't be taken: too large, or its content"
    US = "the server does not want us, so every other email meets the same"
    UNCLEAR = "it may be either; when several people's emails are refused alike, it is us"
    TIME = "not yet; the same may be taken later"


US = re.compile(
    r"\b(helo|ehlo|client host|hostname|sender|relay(ing)?|auth\w*|log-?in|starttls|tls|rate(limit\w*)?"
    r"|too (many|much)|blocked"
    r"|\w+list(ed)?|reputation|spf|dkim|dmarc|ptr|reverse dns|throttl\w+|(daily|hourly|sending) (\w+ )?(quota|limit)"
    r"|your (ip|host|server|domain|account|message limit))\b",
    re.IGNORECASE,
)
GREYLISTED = re.compile(r"\bgr[ae]y", re.IGNORECASE)
# Gmail means how much the person receives, not how much we send.
THEIR_RATE = re.compile(r"the user you are trying to contact is receiving mail at a rate", re.IGNORECASE)
# cPanel's guess: the account may not exist, they may be blacklisted.
GUESS = re.compile(r"\bmay not exist\b", re.IGNORECASE)
# Postfix names the table in which it didn't find somebody, and one of them is called "relay".
TABLE = re.compile(r" in \w+( \w+)? (recipient|alias|mailbox) table", re.IGNORECASE)
NOBODY = re.compile(
    r"\bno such (user|recipient|mailbox|address|account|person)|\binvalid (user|recipient|mailbox)"
    r"|\bunknown (local |virtual )?(user|recipient|mailbox|address)|\b(does not|doesn't) exist"
    r"|\b(user|recipient|mailbox|address|account)( name| address)?( is| was)? (unknown|not found|invalid)"
    r"|\bdoesn't have an? \S+ account",
    re.IGNORECASE,
)
FULL = re.compile(
    r"\bover ?quota|\bquota exceeded|\b(mailbox|storage)( is| was)? (full|exceeded)"
    r"|\b(mailbox|account|user)( is| was| has been)? (disabled|suspended|deactivated|discontinued)",
    re.IGNORECASE,
)
# By the first two parts of the enhanced status, or all three. The sender's are 5.1.7 and 5.1.8. Outlook says 5.5.0 of a
# mailbox that isn't there.
STATUSES = {
    "5.1.7": Blame.US,
    "5.1.8": Blame.US,
    "5.1": Blame.ADDRESS,
    "5.2.3": Blame.MESSAGE,
    "5.2": Blame.MAILBOX,
    "5.3.2": Blame.US,
    "5.3.4": Blame.MESSAGE,
    "5.3.5": Blame.US,
    "5.4.5": Blame.US,
    "5.5.0": Blame.UNCLEAR,
    "5.5": Blame.US,
    "5.6": Blame.MESSAGE,
    "5.7": Blame.US,
}
# Exchange's, for people and groups that accept email only from some.
OF_FEW = {"5.7.124", "5.7.129", "5.7.133", "5.7.134", "5.7.135", "5.7.136"}
CODES = {551: Blame.ADDRESS, 552: Blame.MAILBOX, 550: Blame.UNCLEAR, 553: Blame.UNCLEAR}
# These are about the conversation, never about the recipient (RFC 4954, RFC 3207, RFC 5321).
OF_THE_CONVERSATION = {500, 502, 503, 504, 530, 534, 535, 538, 555}
ENHANCED = re.compile(r"^\s*([245]\.\d{1,3}\.\d{1,3})\b")


def of_answer(code: int, message: str, *, is_content: bool = False) -> Blame:
    """Whose fault an answer is, as it came over the wire; `is_content` if it came after DATA."""
    found = ENHANCED.match(message)
    enhanced = found[1] if found else ""
    said = blame(code, enhanced, message[found.end() :] if found else message)
    is_bare = not enhanced and code not in OF_THE_CONVERSATION and not US.search(_words(message))
    return Blame.UNCLEAR if is_content and is_bare and said is Blame.US else said


def blame(code: int, enhanced: str, text: str) -> Blame:
    """Whose fault a refusal is. `enhanced` is a status such as "5.1.1", or empty."""
    words = _words(text)
    if code < 500:
        return Blame.US if US.search(words) and not GREYLISTED.search(words) else Blame.TIME
    if GUESS.search(words) or enhanced in OF_FEW:
        return Blame.UNCLEAR
    if US.search(words) or code in OF_THE_CONVERSATION:
        return Blame.US
    if NOBODY.search(words):
        return Blame.ADDRESS  # Yandex says so with 5.7.1
    if said := STATUSES.get(enhanced) or STATUSES.get(enhanced.rpartition(".")[0]):
        is_odd = said is Blame.US and "recipient" in words.lower()
        return Blame.UNCLEAR if is_odd else said
    return _by_words(code, enhanced, words)


def _words(text: str) -> str:
    """The words without addresses, since an address may contain any word."""
    return THEIR_RATE.sub(" ", TABLE.sub(" ", re.sub(r"<[^>]*>|\S+@\S+|https?://\S+", " ", text)))


def _by_words(code: int, enhanced: str, words: str) -> Blame:
    if FULL.search(words):
        return Blame.MAILBOX
    return CODES.get(code, Blame.UNCLEAR if enhanced else Blame.US)
