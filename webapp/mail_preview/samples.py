"""Every kind of email in every language, with sample data, for the gallery and the tests."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from jinja2 import Environment

from webapp.database import now
from webapp.mail import kinds, mime, outbox
from webapp.mail.models import Claimed
from webapp.mail_preview import lint
from webapp.mail_preview.inbox import Received
from webapp.settings import Settings


@dataclass(frozen=True)
class Sample:
    """A sample email; `id` is its template and its language, such as `reset_password.en`."""

    template: str
    language: str
    email: Received
    problems: list[str]

    @property
    def id(self) -> str:
        return self.email.id


def samples(settings: Settings, templates: Environment) -> Iterator[Sample]:
    for name, kind in kinds.KINDS.items():
        for language in settings.languages:
            for draft in kind.samples(settings):
                source = mime.compose(templates, settings, _claimed(settings, name, language), draft)
                email = Received.parse(f"{draft.template}.{language}", source)
                yield Sample(draft.template, language, email, lint.problems(source, settings))


def find(settings: Settings, templates: Environment, sample_id: str) -> Sample | None:
    return next((sample for sample in samples(settings, templates) if sample.id == sample_id), None)


def _claimed(settings: Settings, kind: str, language: str) -> Claimed:
    moment = now()
    return Claimed(
        id=0,
        kind=kind,
        recipient="susan@example.com",
        parameters={},
        language=language,
        user_id=None,
        message_id=outbox.new_message_id(settings.host),
        priority=kinds.KINDS[kind].priority,
        created_at=moment,
        due_at=moment,
        expires_at=moment + timedelta(hours=1),
        attempts=1,
        crashes=0,
        fence=1,
        code=None,
        reason=None,
    )
