"""MAIL_LOCAL_DOMAINS on the command line."""

import pytest

from tests.cli.conftest import Run


def test_commands_know_the_sites_own_network_too(run: Run, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("MAIL_LOCAL_DOMAINS", "@Home.Local, b\u00fcro.test")

    invited = run("invite", "\u200bSusan@home.local")
    refused = run("invite", "susan@box")

    assert invited.out.startswith("https://blog.example/register/")
    assert refused.code == 1


def test_a_domain_that_nobody_can_have_stops_the_start(run: Run, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("MAIL_LOCAL_DOMAINS", "home.local, a b")

    assert "MAIL_LOCAL_DOMAINS: no domain can be called 'a b'." in run("users", "list").err
