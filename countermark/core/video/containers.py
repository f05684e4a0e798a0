"""Which containers of clips there are, told by their first bytes, never by a name.

>>> sniff_clip(b"\\x00\\x00\\x00\\x18ftypisom\\x00\\x00\\x02\\x00isomiso2")
'mp4'
>>> sniff_clip(b"#EXTM3U\\nhttp://example.org/a.ts") is None
True

Playlists, concatenations and streaming manifests have no entry here, so that no file can make a demuxer
open another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from countermark.core.images import sniff_format

#: How many first bytes ``sniff_clip`` needs.
HEAD = 64


@dataclass(frozen=True)
class Container:
    """A container: FFmpeg's demuxer and muxer for it, the media type, and the usual extensions."""

    demuxer: str
    muxer: str
    mime: str
    suffixes: tuple[str, ...]


CONTAINERS: Mapping[str, Container] = {
    "mp4": Container("mov", "mp4", "video/mp4", (".mp4", ".m4v")),
    "mov": Container("mov", "mov", "video/quicktime", (".mov", ".qt")),
    "webm": Container("matroska", "webm", "video/webm", (".webm",)),
    "mkv": Container("matroska", "matroska", "video/x-matroska", (".mkv",)),
}
#: Pictures that may move: the image gate reads their first frame, this one all of them.
ANIMATED = ("gif", "webp", "png", "avif")
#: Extensions that a folder walk offers to the gate. The gate itself goes by content.
EXTENSIONS = frozenset(suffix for each in CONTAINERS.values() for suffix in each.suffixes)

_QUICKTIME = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_EBML = b"\x1a\x45\xdf\xa3"


def sniff_clip(head: bytes) -> str | None:
    """The name of the container (a key of ``CONTAINERS``) by a file's first bytes, or None."""
    kind = head[4:8]
    if kind == b"ftyp" and sniff_format(head) is None:
        return "mov" if head[8:12] == b"qt  " else "mp4"
    if kind in _QUICKTIME and len(head) >= 16:
        return "mov"
    if head.startswith(_EBML):
        return "webm" if b"webm" in head[:HEAD] else "mkv"
    return None


def container_for(suffix: str) -> str | None:
    """The container that an extension stands for, or None.

    >>> container_for(".M4V")
    'mp4'
    """
    lower = suffix.lower()
    return next((name for name, each in CONTAINERS.items() if lower in each.suffixes), None)
