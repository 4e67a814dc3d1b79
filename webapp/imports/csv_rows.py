"""CSV files as spreadsheets and other programs write them: commas, semicolons or tabs, UTF-8 or UTF-16."""

import codecs
import csv
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from webapp.i18n import gettext as _
from webapp.imports import Refused
from webapp.logs import say

SEPARATORS = ",;\t"


@dataclass(frozen=True)
class Row:
    """A line: its number in the file, and its values by column, without surrounding spaces."""

    number: int
    values: dict[str, str]
    has_too_many: bool


def read(file: Path, required: Sequence[str], known: Sequence[str]) -> list[Row]:
    """The rows of a file. Raises Refused with what is wrong with it."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise Refused(_("%(file)s can't be read: %(reason)s.") % {"file": file, "reason": error.strerror}) from None
    return parse(_decoded(content), required, known)


def _decoded(content: bytes) -> str:
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        name = "UTF-16" if encoding == "utf-16" else "UTF-8"
        words = _("Line %(line)s is not %(encoding)s text. Save the file as UTF-8 and try again.")
        raise Refused(words % {"line": line, "encoding": name}) from None


def parse(text: str, required: Sequence[str], known: Sequence[str]) -> list[Row]:
    """The rows of a text, without blank ones. Raises Refused."""
    header_line = text.partition("\n")[0]
    separator = max(SEPARATORS, key=header_line.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        header = _header(next(reader, []), required, known)
        rows = [_row(reader.line_num, header, values) for values in reader if any(map(str.strip, values))]
    except csv.Error as error:
        raise Refused(_("Line %(line)s: %(reason)s.") % {"line": reader.line_num, "reason": _words(error)}) from None
    if not rows:
        raise Refused(_("The file has no line after the one that names the columns."))
    return rows


def _header(cells: list[str], required: Sequence[str], known: Sequence[str]) -> list[str]:
    header = [cell.strip().lower() for cell in cells]
    if not any(header):
        words = _("The file is empty. Its first line must name the columns: %(columns)s.")
        raise Refused(words % {"columns": ",".join(known)})
    if missing := [name for name in required if name not in header]:
        says = ", ".join(filter(None, header))[:100]
        words = _("The first line must name the columns. It says '%(says)s', with no %(missing)s.")
        raise Refused(words % {"says": says, "missing": _(" and no ").join(missing)})
    if twice := [name for name in header if name and header.count(name) > 1]:
        raise Refused(_("The first line names the column %(name)s twice.") % {"name": twice[0]})
    if ignored := [name for name in header if name and name not in known]:
        say(_("Not imported: %(columns)s.") % {"columns": ", ".join(ignored)}, sys.stderr)
    return header


def _row(number: int, header: list[str], values: list[str]) -> Row:
    padded = [value.strip() for value in values] + [""] * (len(header) - len(values))
    return Row(number, dict(zip(header, padded, strict=False)), any(map(str.strip, values[len(header) :])))


def _words(error: csv.Error) -> str:
    if "unexpected end" in str(error) or "field limit" in str(error):
        return _("a quotation mark is opened and not closed")
    return str(error)
