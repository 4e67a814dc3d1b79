"""The catalogues of texts in `webapp/translations`. `make translations` asks here what each of them lacks."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from babel.messages import Catalog, pofile

from webapp import i18n

CATALOGUES = sorted(i18n.TRANSLATIONS.glob("*/LC_MESSAGES/messages.po"))
LANGUAGES = [file.parts[-3] for file in CATALOGUES]
NAMED = 10


def catalogue(file: Path) -> Catalog:
    return pofile.read_po(io.BytesIO(file.read_bytes()), locale=file.parts[-3])


def messages(file: Path) -> Iterator[Any]:
    return (message for message in catalogue(file) if message.id)


def strings(message: Any) -> tuple[str, ...]:
    return tuple(message.string) if isinstance(message.string, tuple | list) else (message.string,)


def is_missing(message: Any) -> bool:
    """Also if only one of its plural forms is: `pybabel compile --statistics` doesn't look at those."""
    return bool(message.fuzzy) or not all(strings(message))


def report(file: Path) -> list[str]:
    texts = list(messages(file))
    missing = [message for message in texts if is_missing(message)]
    if not missing:
        return [f"{file.parts[-3]}: all {len(texts)} texts are translated."]
    named = [f"  {message.locations[0][0]}: {first(message.id)!r}" for message in missing[:NAMED]]
    more = [f"  and {len(missing) - NAMED} more"] if len(missing) > NAMED else []
    return [f"{file.parts[-3]}: {len(missing)} of {len(texts)} texts are missing, and shown in English:", *named, *more]


def first(text: str | tuple[str, ...]) -> str:
    return text if isinstance(text, str) else text[0]


if __name__ == "__main__":
    print("\n".join(line for file in CATALOGUES for line in report(file)))
