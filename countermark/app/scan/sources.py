"""Which files a scan was asked for: names, folders, patterns, and lists on standard input.

A name that was asked for is never dropped: one that is missing becomes a result with an error, so that a
build does not pass on what it has not seen.

>>> unquoted(rb'"caf\\303\\251.jpg"').decode()
'café.jpg'
>>> unquoted(b"plain.jpg")
b'plain.jpg'
"""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import IO

from countermark.app.scan.folders import described, walk
from countermark.app.scan.items import Item
from countermark.core.errors import ConfigError
from countermark.core.files import read_head
from countermark.core.images import EXTENSIONS, sniff_format
from countermark.core.video.containers import EXTENSIONS as CLIPS
from countermark.core.video.containers import sniff_clip

MAX_LIST_BYTES = 256 * 1024 * 1024
#: Files that are not looked at and listed by name; all are counted.
MAX_OTHERS = 1000
STANDARD_INPUT = "-"
#: What results call a picture that came over standard input.
PIPED = "standard input"
LISTED = "listed files that are no pictures"
_QUOTED = re.compile(rb'"(?:[^"\\]|\\(?:[abtnvfr"\\]|[0-7]{3}))*"')
_ESCAPE = re.compile(rb'\\([abtnvfr"\\]|[0-7]{3})')
_LETTERS = {b"a": 7, b"b": 8, b"t": 9, b"n": 10, b"v": 11, b"f": 12, b"r": 13, b'"': 34, b"\\": 92}
_HEAD = 64
#: Two letters at least, so that the drives of Windows are none; a path has lost one of the two slashes.
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,15}:/{1,2}[^/]")


@dataclass(frozen=True)
class Sources:
    """What there is to scan.

    Attributes:
        files: Every file, in order: a picture on standard input, named ones as they are, those of folders.
        notes: Sentences on what was asked for and is not among them.
        left_out: How many files of folders and lists are not looked at, by reason.
        others: The first ``MAX_OTHERS`` of them, each with its reason.
    """

    files: list[Path | Item] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    others: tuple[tuple[str, str], ...] = ()


def named(paths: Iterable[str], stream: IO[bytes], *, null: bool = False) -> Sources:
    """The files that arguments ask for; ``-`` stands for a list on standard input, or for one picture there.

    Files of a list that are no images (a source file among what changed) are left out with a note; a
    file that was named itself, or is missing, stays.

    Args:
        paths: Names, folders, shell patterns, ``-``; none for the working folder.
        stream: Standard input, read only for ``-``.
        null: The list's names end with NUL (``git diff -z``, ``find -print0``).

    Raises:
        ConfigError: ``scan.list`` for a list that is too long; ``scan.address`` for an address.
    """
    files: list[Path | Item] = []
    wanted: list[str] = []
    notes: list[str] = []
    left_out: Counter[str] = Counter()
    others: list[tuple[str, str]] = []
    for path in list(paths) or ["."]:
        if path != STANDARD_INPUT:
            refuse_address(path)
            wanted += expand([path])
            continue
        data = read_all(stream)
        if sniff_format(data) is not None:
            files.append(Item(PIPED, kind="bytes", data=data))
            continue
        listed = names_in(data, null=null)
        images = [name for name in listed if not _is_another_file(name)]
        if not listed:
            notes.append("The list on standard input is empty.")
        elif len(images) < len(listed):
            notes.append(f"{len(listed) - len(images)} of {len(listed)} listed files are no images.")
            left_out[LISTED] += len(listed) - len(images)
            kept = set(images)
            others += [(name, LISTED) for name in listed if name not in kept][:MAX_OTHERS]
        wanted += images
    inside: Counter[str] = Counter()
    for name in map(Path, dict.fromkeys(wanted)):
        if not name.is_dir():
            files.append(name)
            continue
        found, beside = walk(name)
        files += found
        inside.update(reason for _, reason in beside)
        others += [(str(path), reason) for path, reason in beside[:MAX_OTHERS]]
    notes += filter(None, [described(inside)])
    return Sources(list(_once(files)), tuple(notes), dict(left_out + inside), tuple(others[:MAX_OTHERS]))


def read_list(stream: IO[bytes], *, null: bool = False) -> list[str]:
    """File names from a stream: ended by NUL when ``null`` or when there is one, else one a line.

    A line in double quotes is taken as git writes names with other than ASCII letters
    (``core.quotePath``), unless there is a file of that very name.
    """
    return names_in(read_all(stream), null=null)


def read_all(stream: IO[bytes]) -> bytes:
    """All of standard input.

    Raises:
        ConfigError: ``scan.list``: there is too much.
    """
    data = stream.read(MAX_LIST_BYTES + 1)
    if len(data) > MAX_LIST_BYTES:
        raise ConfigError("There is too much on standard input for a list or a picture.", code="scan.list")
    return data


def names_in(data: bytes, *, null: bool = False) -> list[str]:
    """File names in what ``read_list`` has read."""
    if null or b"\0" in data:
        return [os.fsdecode(part) for part in data.split(b"\0") if part]
    lines = (line.removesuffix(b"\r") for line in data.split(b"\n"))
    return [os.fsdecode(line if os.path.lexists(line) else unquoted(line)) for line in lines if line.strip()]


def unquoted(line: bytes) -> bytes:
    """A name as git quotes it (C escapes, three octal digits a byte), plain; any other line as it is."""
    if not _QUOTED.fullmatch(line):
        return line

    def plain(match: re.Match[bytes]) -> bytes:
        letter = match.group(1)
        return bytes([_LETTERS[letter] if letter in _LETTERS else int(letter, 8) & 0xFF])

    return _ESCAPE.sub(plain, line[1:-1])


def refuse_address(name: str) -> None:
    """Says what to do with an address of the web: nothing is fetched here.

    Raises:
        ConfigError: ``scan.address``.
    """
    if _ADDRESS.match(name) and not os.path.lexists(name):
        raise ConfigError(
            f"{name} is an address; no connection is opened.",
            code="scan.address",
            hint="Fetch the picture first, or hand it on: curl -sL ADDRESS | countermark scan -",
        )


def expand(sources: Iterable[str]) -> list[str]:
    """Expands shell patterns that the shell left alone; names that exist are taken as they are.

    A pattern that matches nothing stays, and is then reported as missing.
    """
    found: list[str] = []
    for source in sources:
        matches: list[str] = []
        if glob.has_magic(source) and not os.path.lexists(source):
            matches = sorted(glob.glob(source, recursive=True))
        found += matches or [source]
    return list(dict.fromkeys(found))


def place(name: str) -> str:
    """Where a file really is; a link as the last part stays, for it may be what is to be refused."""
    path = Path(name)
    return os.path.join(_real(os.path.join(os.getcwd(), path.parent)), path.name)


@lru_cache(maxsize=1024)
def _real(folder: str) -> str:
    return os.path.realpath(folder)


def _once(files: Iterable[Path | Item]) -> Iterator[Path | Item]:
    """Without what another source has named already, under whatever name."""
    seen: set[str] = set()
    for file in files:
        if isinstance(file, Path):
            where = place(str(file))
            if where in seen:
                continue
            seen.add(where)
        yield file


def _is_another_file(name: str) -> bool:
    """Whether a name is of a file that is no image, by extension and first bytes."""
    if Path(name).suffix.lower() in EXTENSIONS | CLIPS:
        return False
    if not os.path.isfile(name):
        return False  # missing, a folder, a pipe: whoever reads it will say so
    head = read_head(name, _HEAD)
    return sniff_format(head) is None and sniff_clip(head) is None
