"""What errors of a database's driver mean, and how they are said. Real ones: tests/neighbours/test_unavailable.py."""

import errno
import socket
import ssl

import pytest

from webapp.database import refusals

UNTRUSTED = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] (_ssl.c:1020)")
UNTRUSTED.verify_message = "unable to get local issuer certificate"
TWO_ADDRESSES = "Multiple exceptions: [Errno 111] Connect call failed ('::1', 1), [Errno 111] Connect call failed"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EHOSTUNREACH, "Connect call failed ('192.0.2.1', 5432)"),
        OSError(errno.ENETUNREACH, "Network is unreachable"),
        PermissionError(errno.EACCES, "Permission denied"),
        FileNotFoundError(errno.ENOENT, "No such file or directory"),
        OSError(TWO_ADDRESSES),
    ],
    ids=["no route", "no network", "a shut socket", "no socket", "two addresses"],
)
def test_a_server_to_which_there_is_no_way_is_away(error: OSError) -> None:
    assert refusals.is_away(error)


@pytest.mark.parametrize("kind", [FileNotFoundError, PermissionError])
def test_a_file_that_cannot_be_opened_is_no_database_that_is_away(kind: type[OSError]) -> None:
    assert not refusals.is_away(kind(errno.ENOENT, "No such file", "static/app.js"))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TimeoutError(), "it didn't answer in time. Is the server running"),
        (FileNotFoundError(errno.ENOENT, "No such file"), "there is no socket in the folder that DATABASE_URL names."),
        (socket.gaierror(-2, "Name or service not known"), "the host in DATABASE_URL can't be found (Name or "),
        (UNTRUSTED, "its certificate isn't trusted: unable to get local issuer certificate. If the server's authority"),
    ],
    ids=["silence", "no socket", "no name", "a certificate"],
)
def test_what_a_driver_says_darkly_is_said_in_words(error: OSError, words: str) -> None:
    assert f"{refusals.in_words(error)}. {refusals.what_to_check(error)}".startswith(words)
