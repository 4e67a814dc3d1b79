"""Form: what a visitor typed, and what is wrong with it.

The shape of a form is a pydantic model of strings. `Form.read` takes exactly one value for each of its
fields, from an ordinary web form in the body and from nowhere else.
"""

import re
import secrets
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from starlette.exceptions import HTTPException
from starlette.requests import Request

from webapp.i18n import gettext as _
from webapp.rate_limits import TooOften
from webapp.settings import Settings
from webapp.web import drafts
from webapp.web.words import too_long

Shape = TypeVar("Shape", bound=BaseModel)

MAX_FIELDS = 50
URL_ENCODED = "application/x-www-form-urlencoded"
FORM_ID = "form_id"  # the same in all forms of one page: see second_press.py
_POSTING = re.compile(r'<form\b[^>]*\bmethod="post"[^>]*>')
MAX_DIGITS = 18  # of a number in a query: no database has longer ones
MAX_CHARACTERS = 2000  # of a field that sets no limit of its own, as it is sent
MAX_FIELD_BYTES = 48 * 1024  # as they are sent; there, a character outside ASCII takes six to twelve


@dataclass(frozen=True)
class Longest:
    """Annotates a field: how many characters are looked at, and what the visitor is told about more."""

    characters: int
    said: int


class Form(Generic[Shape]):
    """`values` as typed, `errors` by field ("" for the whole form), and `data` once there are none. A `notice` says why
    it goes no further although nobody made a mistake.

    The answer that shows this form must have its `status` and `headers`.
    """

    def __init__(self, shape: type[Shape], values: dict[str, str] | None = None) -> None:
        self.shape = shape
        self.values = dict.fromkeys(shape.model_fields, "") | {
            name: value for name, value in (values or {}).items() if name in shape.model_fields
        }
        self.errors: dict[str, str] = {}
        self.notice = ""
        self.status = 200
        self.headers: dict[str, str] = {}
        self._data: Shape | None = None

    @classmethod
    async def of(cls, request: Request, shape: type[Shape], **initial: str) -> "Form[Shape]":
        """The form of a page that both shows and takes it: read if it was sent, otherwise with its first values.

        What was typed into it when the session ended takes precedence.
        """
        return (
            await cls.read(request, shape) if request.method == "POST" else cls(shape, drafts.take(request) or initial)
        )

    @classmethod
    async def read(cls, request: Request, shape: type[Shape]) -> "Form[Shape]":
        """Reads and checks what was sent.

        Raises HTTPException: 400 for what no form of ours sends, 413 for too much, 415 for another content type.
        """
        form = cls(shape, await _fields(request, shape))
        form.check(request.app.state.settings)
        return form

    @property
    def data(self) -> Shape:
        assert self._data is not None, "only a valid form has data"
        return self._data

    @property
    def is_valid(self) -> bool:
        return self._data is not None and not self.errors

    def refuse(self, field: str, words: str, status: int = 422) -> None:
        """Says what is wrong with a field, or with the whole form if the field is ""."""
        self.errors[field] = words
        self.status = status

    def explain(self, words: str) -> None:
        """Says why the form goes no further although nobody made a mistake."""
        self.notice = words
        self.status = 422

    def refuse_for_now(self, words: str, refused: TooOften) -> None:
        """Says that this was asked too often; `words` contain the %(wait)s until the next try."""
        self.refuse("", words % {"wait": refused.wait}, 429)
        self.headers["retry-after"] = str(refused.seconds)

    def check(self, settings: Settings) -> None:
        """Checks the values: sets `data` if they are good, else `errors`. Validators get the settings as context."""
        for name, value in self.values.items():
            most = longest(self.shape.model_fields[name])
            if len(value) > most.characters:
                self.refuse(name, too_long(most.said))
            elif any((character < " " and character not in "\r\n\t") or character == "\ufffd" for character in value):
                self.refuse(name, _("It contains a character that can't be used."))
        if self.errors:
            return
        try:
            self._data = self.shape.model_validate(self.values, context={"settings": settings})
        except ValidationError as refused:
            for error in refused.errors(include_url=False, include_input=False):
                self.refuse(str(error["loc"][0]) if error["loc"] else "", _words(error["type"], error.get("ctx", {})))


class EmptyForm(BaseModel):
    """The form of a button without fields."""


def number_in_query(request: Request, name: str, default: int, *, is_signed: bool = False) -> int:
    """The number in a query, or the default. Raises HTTPException(400) for anything else."""
    typed = request.query_params.get(name, "")
    if not typed:
        return default
    digits = typed.removeprefix("-") if is_signed else typed
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= MAX_DIGITS):
        raise HTTPException(400)
    return int(typed)


def longest(field: FieldInfo) -> Longest:
    """How long a field may be before anything looks at its content. Surrounding space may be cut off later."""
    for limit in field.metadata:
        if isinstance(limit, Longest):
            return limit
    said = next((limit.max_length for limit in field.metadata if hasattr(limit, "max_length")), None)
    return Longest(MAX_CHARACTERS, said or MAX_CHARACTERS)


def typed(request: Request) -> dict[str, str]:
    """What was typed into any form whose body has arrived; nothing if no form of ours would send it."""
    if _content_type(request) != URL_ENCODED:
        return {}
    try:
        return {name: value for name, value in _parsed(request.scope["state"].get("body", b"")) if name != FORM_ID}
    except ValueError:
        return {}


async def _fields(request: Request, shape: type[BaseModel]) -> dict[str, str]:
    if (content_type := _content_type(request)) != URL_ENCODED:
        # An empty body needs no type: its fields are simply missing.
        if content_type or await request.body():
            raise HTTPException(415)
        return {}
    try:
        sent = _parsed(await request.body())
    except ValueError:
        raise HTTPException(400) from None
    values: dict[str, str] = {}
    for name, value in sent:
        # With a name twice, or `email[]`, attackers get a second address past the check of the first.
        if name in values or (name.partition("[")[0] in shape.model_fields and "[" in name):
            raise HTTPException(400)
        values[name] = value
    if any(name.partition("[")[0] in shape.model_fields for name in request.query_params):
        raise HTTPException(400)
    return {name: value for name, value in values.items() if name in shape.model_fields}


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _parsed(body: bytes) -> list[tuple[str, str]]:
    """The fields of an ordinary web form. What isn't escaped in it, as in a script's, is UTF-8 as well (WHATWG URL
    Standard, 5.1); Starlette takes it for Latin-1.

    Raises ValueError for more fields, or a larger one, than any form of ours sends.
    """
    if body.count(b"&") >= MAX_FIELDS or max(map(len, body.split(b"&"))) > MAX_FIELD_BYTES:
        raise ValueError("too many fields, or one that is too large")
    return parse_qsl(body.decode(errors="replace"), keep_blank_values=True)


def _words(kind: str, context: dict[str, Any]) -> str:
    if kind == "value_error":
        return str(context["error"])
    if kind == "string_too_long":
        return too_long(context["max_length"])
    if kind in {"missing", "string_too_short"}:
        return _("Fill this in.")
    return _("Check this.")


def with_ids(html: str, form_id: str) -> str:
    """Gives every form that changes something its page's id. It is done here so that no template can forget it."""
    field = f'<input type="hidden" name="{FORM_ID}" value="{form_id}">'
    return _POSTING.sub(lambda form: form[0] + field, html)


def new_id() -> str:
    return secrets.token_urlsafe(16)
