"""Every kind of email in every language, with sample data, for the gallery and the tests."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import lru_cache

from jinja2 import Environment

from webapp import i18n
from webapp.database import now
from webapp.mail import kinds, mime, outbox
from webapp.mail.kinds import Draft
from webapp.mail.models import Claimed
from webapp.mail_preview import lint
from webapp.mail_preview.inbox import Received
from webapp.settings import ROOT, Settings


@dataclass(frozen=True)
class Sample:
    """A sample email; `id` is its template, which of several, and its language: `reset_password.en`, `mention-2.en`."""

    template: str
    language: str
    email: Received
    problems: list[str]

    @property
    def id(self) -> str:
        return self.email.id


@dataclass(frozen=True)
class _Planned:
    """A sample that isn't written yet: writing costs far more than knowing which samples there are."""

    id: str
    kind: str
    language: str
    draft: Draft

    def write(self, settings: Settings, templates: Environment) -> Sample:
        source = mime.compose(templates, settings, _claimed(settings, self.kind, self.language), self.draft)
        email = Received.parse(self.id, source)
        return Sample(self.draft.template, self.language, email, lint.problems(source, settings))


def samples(settings: Settings, templates: Environment) -> list[Sample]:
    """All of them: written when the first is asked for, which takes a second, and anew when a template has changed."""
    return _written(settings, templates, max(file.stat().st_mtime for file in (ROOT / "templates").rglob("*.*")))


@lru_cache(1)
def _written(settings: Settings, templates: Environment, _changed_at: float) -> list[Sample]:
    return [planned.write(settings, templates) for planned in _planned(settings)]


def find(settings: Settings, templates: Environment, sample_id: str) -> Sample | None:
    planned = next((planned for planned in _planned(settings) if planned.id == sample_id), None)
    return planned.write(settings, templates) if planned else None


def _planned(settings: Settings) -> Iterator[_Planned]:
    counts: Counter[str] = Counter()
    for name, kind in kinds.KINDS.items():
        for language in settings.languages:
            with i18n.use(language, is_typeset=True):
                drafts = kind.samples(settings)
            for draft in drafts:
                counts[f"{draft.template}.{language}"] += 1
                which = counts[f"{draft.template}.{language}"]
                suffix = f"-{which}" if which > 1 else ""
                sample_id = f"{draft.template}{suffix}.{language}"
                yield _Planned(sample_id, name, language, replace(draft, language=language))


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
