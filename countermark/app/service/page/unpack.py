"""The pictures in a ZIP, within bounds that hold before anything is unpacked.

>>> pictures_in(b"no zip") is None
True
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from countermark.core.errors import ImageError
from countermark.core.images import sniff_format

MAX_ENTRIES = 1000
MAX_DIRECTORY_BYTES = 512 * 1024
MAX_PICTURES = 200

_END, _END_64 = b"PK\x05\x06", b"PK\x06\x07"


@dataclass
class Unpacked:
    """Pictures by name, and how many entries were left out under which reason."""

    pictures: list[tuple[str, bytes]] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)

    def leave(self, reason: str) -> None:
        self.left_out[reason] = self.left_out.get(reason, 0) + 1


def pictures_in(data: bytes, *, max_bytes: int = 32 << 20, total_bytes: int = 128 << 20) -> Unpacked | None:
    """The pictures of a ZIP in its order; None when ``data`` is no ZIP.

    Args:
        max_bytes: Largest picture.
        total_bytes: Most bytes that are unpacked in all.

    Raises:
        ImageError: ``archive.unreadable`` or ``archive.too-large``.
    """
    if not data.startswith((b"PK\x03\x04", _END)):
        return None
    _check_directory(data)
    found = Unpacked()
    left = total_bytes
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for entry in archive.infolist():
                if entry.is_dir() or PurePosixPath(entry.filename).name.startswith("."):
                    continue
                if "__MACOSX" in PurePosixPath(entry.filename).parts:
                    continue
                if len(found.pictures) >= MAX_PICTURES:
                    found.leave("too many")
                    continue
                content = _read(archive, entry, min(max_bytes, left), found)
                if content is None:
                    continue
                left -= len(content)
                if sniff_format(content) is None:
                    found.leave("not a picture")
                else:
                    found.pictures.append((entry.filename, content))
    except (zipfile.BadZipFile, ValueError, EOFError, OSError) as error:
        raise ImageError("The ZIP is damaged.", code="archive.unreadable", hint="Pack it again.") from error
    return found


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, limit: int, found: Unpacked) -> bytes | None:
    """The content of an entry, or None, with the reason noted; claimed sizes are not believed."""
    try:
        with archive.open(entry) as stream:
            head = stream.read(64)
            if sniff_format(head) is None:  # most of what is no picture is not unpacked at all
                found.leave("not a picture")
                return None
            content = head + stream.read(max(0, limit - len(head)) + 1)
    except (NotImplementedError, RuntimeError):
        found.leave("encrypted or packed in an unusual way")
        return None
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError):
        found.leave("damaged")
        return None
    if len(content) > limit:
        found.leave("too large")
        return None
    return content


def _check_directory(data: bytes) -> None:
    """Bounds the archive's table of contents, which is read into memory whole."""
    at = data.rfind(_END, max(0, len(data) - 65_557))
    if at < 0 or len(data) < at + 22:
        raise ImageError("The ZIP is damaged.", code="archive.unreadable", hint="Pack it again.")
    entries, size = struct.unpack("<HI", data[at + 10 : at + 16])
    if entries > MAX_ENTRIES or size > MAX_DIRECTORY_BYTES or _END_64 in data[max(0, at - 64) : at]:
        raise ImageError(
            f"The ZIP holds more than {MAX_ENTRIES} files.",
            code="archive.too-large",
            hint="Send it in parts, or scan the folder with: countermark scan FOLDER",
        )
