"""The templates of pages and emails: texts in the reader's language, times, and everything else they share."""

import re
import textwrap
from collections.abc import MutableMapping
from datetime import UTC, datetime, timedelta
from datetime import time as clock_time
from functools import lru_cache, partial
from typing import Any

from babel import Locale, dates
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template, pass_eval_context, select_autoescape
from jinja2.nodes import EvalContext
from markupsafe import Markup, escape

from webapp import i18n
from webapp.clock import now
from webapp.settings import NOT_ME_HOURS, ROOT, Settings
from webapp.web.constants import WithConstants

MOMENT_SECONDS = 60
# In seconds, as in app.js.
UNITS = {"year": 31557600, "month": 2629800, "week": 604800, "day": 86400, "hour": 3600, "minute": 60}
GROUPED_FROM = 1000  # a number from here on has its thousands grouped
LINE = 72  # characters of an email's text


class Templates(Environment):
    """Templates whose globals all exist before the first is loaded, so that a plain dict holds them.

    Jinja's own map looks each of them up twice, in Python, for each page and each import. Each language has its own
    compiled templates (see constants.py).
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.spoken: dict[str, Environment] = {}

    def get_template(
        self, name: str | Template, parent: str | None = None, globals: MutableMapping[str, Any] | None = None
    ) -> Template:
        language = i18n.current()
        if language not in self.spoken:
            self.spoken[language] = self.overlay()
        return Environment.get_template(self.spoken[language], name, parent, globals)

    def make_globals(self, d: MutableMapping[str, Any] | None) -> MutableMapping[str, Any]:
        return {**self.globals, **(d or {})}


def environment(settings: Settings) -> Environment:
    """The templates of pages and emails, with what all of them may use."""
    env = Templates(
        loader=FileSystemLoader(ROOT / "templates"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
        auto_reload=settings.development,
    )
    env.newstyle_gettext = True  # type: ignore[attr-defined]
    env.globals |= {
        "_": _gettext,
        "gettext": _gettext,
        "ngettext": _ngettext,
        "pgettext": _pgettext,
        "direction": i18n.direction,
        "time_words": time_words,
    }
    if not settings.development:  # where they may change
        env.code_generator_class = WithConstants
    env.filters |= {"time": _time, "plain_time": _plain_time, "ago": ago, "day": _day, "wrapped": _wrapped}
    env.globals["site_description"] = partial(site_description, settings)
    env.globals["site"] = {
        "name": settings.site_name,
        "base_url": settings.base_url,
        "sender": settings.sender,
        "has_mailbox": settings.mailbox is not None,
        "sends_mail": settings.sends_mail,
        "admins": settings.admin_addresses,
        "contact": settings.admins[0] if settings.admins else None,
        "reset_minutes": settings.reset_token_minutes,
        "not_me_hours": NOT_ME_HOURS,
        "password_min_length": settings.password_min_length,
        "has_passkeys": settings.can_have_passkeys,
        "public_profiles": settings.public_profiles,
        "open_registration": settings.registration in {"open", "approval", "domains"},
        "wants_approval": settings.registration == "approval",
        "member_invites": settings.member_invites if settings.registration != "closed" else 0,
        "languages": [(name, i18n.own_name(name)) for name in settings.languages],
    }
    return env


@pass_eval_context
def _gettext(page: EvalContext, text: str, /, **variables: Any) -> str:
    """A text that may name values: they are escaped on a page, as Jinja's new style has it, which takes three calls."""
    said = i18n.gettext(text)
    return (Markup(said) if page.autoescape else said) % variables  # noqa: S704  (texts of ours)


@pass_eval_context
def _ngettext(page: EvalContext, one: str, many: str, number: int, /, **variables: Any) -> str:
    said = i18n.ngettext(one, many, number)
    shown = i18n.number(number) if number >= GROUPED_FROM else number
    return (Markup(said) if page.autoescape else said) % {"num": shown, **variables}  # noqa: S704


@pass_eval_context
def _pgettext(page: EvalContext, context: str, text: str, /, **variables: Any) -> str:
    said = i18n.pgettext(context, text)
    return (Markup(said) if page.autoescape else said) % variables  # noqa: S704


def site_description(settings: Settings) -> str:
    """One line that says what the site is: its own, or the default."""
    return settings.site_description or i18n.gettext("A small place for short posts.")


def _wrapped(text: str) -> str:
    """Text wrapped at 72 characters. Longer words, such as links, stay whole, and what is indented stays indented."""
    lines = (line if len(line) <= LINE or " " not in line else _wrapped_line(line) for line in text.splitlines())
    return "\n".join(lines).replace("\u00a0", " ")  # they have done their work, and would stick to a link


def _wrapped_line(line: str) -> str:
    indent = line[: -len(line.lstrip())]
    return textwrap.fill(line, LINE, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _time(when: datetime) -> Markup:
    words = _plain_time(when)
    return Markup('<time datetime="{}">{}</time>').format(when.astimezone(UTC).isoformat(timespec="seconds"), words)


def _plain_time(when: datetime) -> str:
    return _exact(when, i18n.current())


def time_words() -> str:
    """How the language writes a time, for app.js: a pattern, the months, and the halves of the day."""
    name = i18n.locale()
    day, time = (str(how.format) for how in (dates.get_date_format("long", name), dates.get_time_format("short", name)))
    pattern = i18n.gettext("%(day)s at %(time)s") % {"day": day, "time": time}
    pattern = pattern.replace("%(G)s", Locale.parse(name).eras["abbreviated"][1])
    halves = [dates.format_time(clock_time(hour), "a", locale=name) for hour in (0, 12)]
    months = dates.get_month_names("wide", locale=name).values()
    return "|".join([re.sub(r"%\((\w+)\)s", r"{\1}", pattern), *months, *halves])


def ago(when: datetime) -> Markup:
    """How long ago that was, with the exact time behind it; app.js counts on."""
    seconds = (now() - when).total_seconds()
    words = i18n.gettext("just now") if seconds < MOMENT_SECONDS else _ago_words(int(seconds // 60), i18n.locale())
    return Markup(f"{_time_tag(when, i18n.current())}{escape(words)}</time>")  # noqa: S704


def _day(when: datetime) -> str:
    return i18n.typeset(dates.format_date(when.astimezone(UTC), "long", locale=i18n.locale()))


@lru_cache(10_000)
def _exact(when: datetime, language: str) -> str:
    """To the minute, as people write it in the language, which is the one in force."""
    moment, name = when.astimezone(UTC), i18n.locale()
    day, time = dates.format_date(moment, "long", locale=name), dates.format_time(moment, "short", locale=name)
    return i18n.gettext("%(day)s at %(time)s UTC") % {"day": i18n.typeset(day), "time": time}


@lru_cache(10_000)
def _time_tag(when: datetime, language: str) -> Markup:
    tag = Markup('<time datetime="{}" title="{}" data-ago>')
    return tag.format(when.astimezone(UTC).isoformat(timespec="seconds"), _exact(when, language))


@lru_cache(10_000)
def _ago_words(minutes: int, name: str) -> str:
    """In whole units that have passed, as app.js counts them: after 59 days it's one month. Babel would round."""
    unit, length = next((unit, length) for unit, length in UNITS.items() if minutes * 60 >= length)
    passed = timedelta(seconds=minutes * 60 // length * dict(dates.TIMEDELTA_UNITS)[unit])
    return i18n.typeset(dates.format_timedelta(-passed, add_direction=True, threshold=1, locale=name))
