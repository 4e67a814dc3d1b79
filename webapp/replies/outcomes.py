"""What an SMTP error means for the email (RFC 5321, 4.2), in words without addresses."""

import re
import ssl

import aiosmtplib

from webapp.logs import mask_all, printable
from webapp.mail.models import Outcome, Verdict
from webapp.replies import blame
from webapp.replies.blame import Blame

# Where in the conversation an answer came.
CONNECT, MAIL, RCPT, DATA, DOT = "connect", "MAIL", "RCPT", "DATA", "the email itself"
_NAMED = re.compile(r"<[^>]*>|\S+@\S+|[0-9a-f-]{6,}|\d+")
OF_US = {
    CONNECT: "The server does not let us in",
    MAIL: "The server refuses our sender",
    RCPT: "The server refuses us",
    DATA: "The server refuses us",
    DOT: "The server refuses us",
}


def of(error: Exception, stage: str, recipient: str) -> Outcome:
    """The outcome of an email whose SMTP conversation failed at a stage."""
    words = said(error, recipient)
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return _of_answer(error, stage, words, recipient)
    if found := certificate_error(error):
        return Outcome(Verdict.UNAVAILABLE, None, f"The server's certificate is not in order: {why(found)}")
    if isinstance(error, ssl.SSLError) or isinstance(error.__cause__, ssl.SSLError):
        return Outcome(Verdict.UNAVAILABLE, None, f"TLS with the server failed: {words}")
    if isinstance(error, aiosmtplib.SMTPNotSupported) or "not supported" in words or "No suitable" in words:
        return Outcome(Verdict.UNAVAILABLE, None, f"The server does not offer what the settings ask for: {words}")
    if stage == DOT:
        return Outcome(Verdict.LATER, None, f"The server hung up before it said whether it took the email: {words}")
    # Where it falls silent at a recipient, it may work for others, who are tried first.
    is_silent = stage in {RCPT, DATA} and isinstance(error, TimeoutError)
    if stage == DATA and not is_silent:
        return Outcome(Verdict.LATER, None, f"The server hung up before it would take the email: {words}")
    return Outcome(Verdict.UNAVAILABLE, None, f"The server can't be reached: {words}", backs_off=is_silent)


def said(error: Exception, *known: str) -> str:
    """What the server or the network said, in one line, with addresses masked."""
    words = error.message if isinstance(error, aiosmtplib.SMTPResponseException) else str(error)
    words = words.replace(" on port None", "")  # aiosmtplib is given a connection, not a port
    return mask_all(printable(" ".join(words.split())) or type(error).__name__, *known)


def certificate_error(error: BaseException) -> ssl.SSLCertVerificationError | None:
    """What is wrong with the server's certificate, if that caused the error."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    return cause


def why(error: ssl.SSLCertVerificationError) -> str:
    """What is wrong with a certificate: its name, its date, its issuer, or its permitted uses."""
    words = error.verify_message
    if error.verify_code in {62, 63, 64}:
        return f"it is for another name ({words})"
    if error.verify_code in {9, 10}:
        return f"it has expired ({words})" if error.verify_code == 10 else f"it is not valid yet ({words})"
    if re.search(r"usage|purpose|CA cert|basic constraints|key identifier", words, re.IGNORECASE):
        return f"it, or its issuer's, may not be used for this: key usage ({words})"
    return f"its issuer is unknown here ({words})"


def _of_answer(error: aiosmtplib.SMTPResponseException, stage: str, words: str, recipient: str) -> Outcome:
    code = error.code
    if not 200 <= code < 600:  # it says nothing about this email, but may have taken it
        verdict = Verdict.LATER if stage in {DATA, DOT} else Verdict.UNAVAILABLE
        return Outcome(verdict, None, f"The server's answer is no SMTP: {words}")
    if code == 421:
        return Outcome(Verdict.UNAVAILABLE, 421, f"The server ended the conversation: {words}")
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        return Outcome(Verdict.UNAVAILABLE, code, f"The server refuses our log-in: {words}")
    meant = blame.of_answer(code, error.message, is_content=stage in {DATA, DOT})
    if stage == CONNECT or (stage == MAIL and meant not in {Blame.TIME, Blame.MESSAGE}):
        return Outcome(Verdict.UNAVAILABLE, code, f"{OF_US[stage]}: {words}")
    if meant is Blame.US:
        return Outcome(Verdict.UNAVAILABLE, code, f"{OF_US[stage]}: {words}", backs_off=True)
    if meant is Blame.TIME:
        return Outcome(Verdict.LATER, code, words)
    refused = recipient if meant is Blame.ADDRESS and stage == RCPT else None
    alike = _alike(code, words) if meant in {Blame.ADDRESS, Blame.UNCLEAR} else ""
    return Outcome(Verdict.NEVER, code, words, refused, alike=alike)


def _alike(code: int, words: str) -> str:
    """A key that is the same for refusals that differ only in the address they name."""
    return f"{code} {_NAMED.sub('', words)}"
