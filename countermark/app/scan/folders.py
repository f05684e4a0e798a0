"""What a folder holds: pictures and clips that are scanned, and everything else, counted under a reason.

Either is told by its extension or, where that says nothing, by its first bytes. Nothing is passed over
in silence: a scan says how many files it did not look at, and why.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from countermark.core.files import is_temporary, open_regular
from countermark.core.images import EXTENSIONS, sniff_format
from countermark.core.video.containers import EXTENSIONS as CLIPS
from countermark.core.video.containers import sniff_clip

_HEAD = 64
#: Kinds of files that a scan does not look at, by extension; the reason that is counted.
KINDS: Mapping[str, frozenset[str]] = {
    "videos of other kinds": frozenset(".avi .mpg .mpeg .wmv .flv .m2ts .ogv".split()),
    "documents": frozenset(".pdf .doc .docx .odt .ppt .pptx .odp .xls .xlsx .epub".split()),
    "archives": frozenset(".zip .tar .gz .tgz .bz2 .xz .7z .rar .zst".split()),
    "raw photographs": frozenset(
        ".cr2 .cr3 .crw .nef .nrw .arw .srf .sr2 .dng .raf .orf .rw2 .pef .srw .3fr .iiq .x3f".split()
    ),
    "vector drawings": frozenset(".svg .svgz .eps .ai".split()),
}
LINKS, HIDDEN, OTHER = "symbolic links", "files in hidden folders", "files that are no pictures"
HALF_WRITTEN = "files that are being written"
#: The reasons in the singular.
ONE: Mapping[str, str] = {
    "videos of other kinds": "video of another kind",
    "documents": "document",
    "archives": "archive",
    "raw photographs": "raw photograph",
    "vector drawings": "vector drawing",
    LINKS: "symbolic link",
    HIDDEN: "file in a hidden folder",
    OTHER: "file that is no picture",
    HALF_WRITTEN: "file that is being written",
}


def walk(folder: Path | str) -> tuple[list[Path], list[tuple[Path, str]]]:
    """Pictures of a folder in a stable order, and the other files, each with its reason.

    Symbolic links are not followed; hidden folders are searched for pictures by extension only. A
    folder below that cannot be read stands among the pictures: whoever reads it will say what is wrong.
    """
    files: list[Path] = []
    left_out: list[tuple[Path, str]] = []
    for path, reason in walked(folder):
        if reason:
            left_out.append((path, reason))
        else:
            files.append(path)
    return files, left_out


def walked(folder: Path | str) -> Iterator[tuple[Path, str]]:
    """Every file of a folder in a stable order, and why it is left out; empty for a picture."""
    unreadable: list[OSError] = []
    for place, subfolders, names in os.walk(folder, onerror=unreadable.append):
        subfolders.sort()
        hidden = any(part.startswith(".") for part in Path(place).relative_to(folder).parts)
        for name in subfolders:
            path = Path(place, name)
            if path.is_symlink():
                yield path, LINKS
        for name in sorted(names):
            path = Path(place, name)
            yield path, HALF_WRITTEN if is_temporary(name) else _reason(path, hidden)
    for error in unreadable:
        yield Path(os.fsdecode(error.filename)), ""


def described(left_out: Mapping[str, int]) -> str:
    """A sentence on what was not looked at; empty for nothing."""
    if not left_out:
        return ""
    parts = [
        f"{count:,} {reason if count != 1 else ONE.get(reason, reason)}"
        for reason, count in sorted(left_out.items(), key=lambda x: (-x[1], x[0]))
    ]
    return f"Not looked at: {', '.join(parts)}."


def _reason(path: Path, hidden: bool) -> str:
    """Why a file is left out; empty for a picture."""
    suffix = path.suffix.lower()
    if path.is_symlink():
        return LINKS
    if suffix in EXTENSIONS or suffix in CLIPS:
        return ""
    for reason, suffixes in KINDS.items():
        if suffix in suffixes:
            return reason
    if hidden:
        return HIDDEN
    try:
        if path.is_file():
            with open_regular(path) as stream:
                head = stream.read(_HEAD)
            return "" if sniff_format(head) or sniff_clip(head) else OTHER
    except OSError:
        return ""  # whoever reads it will say what is wrong
    return OTHER
