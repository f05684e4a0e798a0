"""Languages of the page, from gettext catalogues (``locales/<language>.po``), read as they are.

>>> languages()
['en', 'de']
>>> translations("de").gettext("Sign")
'Signieren'
>>> negotiate("fr, de;q=0.8, en;q=0.5")
'de'
"""

from __future__ import annotations

import gettext
import io
import json
import re
import struct
from collections.abc import Iterator
from functools import cache
from importlib import resources

#: The language that messages are written in.
SOURCE = "en"

_KEYWORD = re.compile(r'(msgctxt|msgid|msgid_plural|msgstr)(?:\[(\d)\])?\s+(".*")\s*')


@cache
def languages() -> list[str]:
    """Codes of the languages that there are, English first."""
    folder = resources.files(__package__).joinpath("locales")
    found = sorted(each.name.removesuffix(".po") for each in folder.iterdir() if each.name.endswith(".po"))
    return [SOURCE, *found]


@cache
def translations(language: str) -> gettext.NullTranslations:
    """The messages of a language; English (no translation) for one that is not known."""
    if language == SOURCE or language not in languages():
        return gettext.NullTranslations()
    text = resources.files(__package__).joinpath(f"locales/{language}.po").read_text("utf-8")
    return gettext.GNUTranslations(io.BytesIO(compiled(parse(text))))


def negotiate(accepted: str) -> str:
    """The first language that there is, of an ``Accept-Language`` header."""
    wanted: list[tuple[float, int, str]] = []
    for position, part in enumerate(accepted[:500].split(",")):
        name, _, quality = part.strip().partition(";q=")
        try:
            weight = float(quality) if quality else 1.0
        except ValueError:
            continue
        wanted.append((-weight, position, name.partition("-")[0].strip().lower()))
    return next((name for weight, _, name in sorted(wanted) if weight and name in languages()), SOURCE)


def parse(text: str) -> dict[str, str]:
    """Messages of a ``.po`` file by their id; plural forms joined by NUL, as ``gettext`` keeps them.

    Raises:
        ValueError: a line that is not understood; the line is named.
    """
    messages: dict[str, str] = {}
    for entry in _entries(text):
        key, value = entry.get("msgid", ""), entry.get("msgstr", "")
        if "msgid_plural" in entry:
            key = f"{key}\0{entry['msgid_plural']}"
            value = "\0".join(entry.get(f"msgstr{number}", "") for number in range(2))
        if "msgctxt" in entry:
            key = f"{entry['msgctxt']}\x04{key}"
        if value.strip("\0") and "fuzzy" not in entry:
            messages[key] = value
    return messages


def _entries(text: str) -> Iterator[dict[str, str]]:
    entry: dict[str, str] = {}
    field = ""
    for number, line in enumerate([*text.splitlines(), ""], 1):
        line = line.strip()
        if line.startswith("#"):
            if line.startswith("#,") and "fuzzy" in line:
                entry["fuzzy"] = "yes"
        elif not line:
            if "msgid" in entry:
                yield entry
            entry, field = {}, ""
        elif match := _KEYWORD.fullmatch(line):
            field = match[1] + (match[2] or "")
            entry[field] = json.loads(match[3])
        elif line.startswith('"') and line.endswith('"') and field:
            entry[field] += json.loads(line)
        else:
            raise ValueError(f"line {number} of the catalogue is not understood: {line[:60]}")


def compiled(messages: dict[str, str]) -> bytes:
    """The messages as a ``.mo`` file, which Python's own ``gettext`` reads."""
    items = sorted((key.encode(), value.encode()) for key, value in messages.items())
    keys = b"".join(key + b"\0" for key, _ in items)
    values = b"".join(value + b"\0" for _, value in items)
    start = 7 * 4 + 16 * len(items)
    tables: list[int] = []
    at = start
    for key, _ in items:
        tables += [len(key), at]
        at += len(key) + 1
    for _, value in items:
        tables += [len(value), at]
        at += len(value) + 1
    head = struct.pack("<7I", 0x950412DE, 0, len(items), 28, 28 + 8 * len(items), 0, start)
    return head + struct.pack(f"<{len(tables)}I", *tables) + keys + values
