"""Carries a picture's metadata over to a new encoding of it, and takes places out of it when asked.

What a container can hold is kept byte for byte: EXIF (with its maker notes and thumbnail), XMP, IPTC,
comments, PNG texts, resolution. What it cannot hold is named, so that nothing is lost in silence. The EXIF
orientation is set to "as it is", because the pixels were turned. A Content Credential is never carried: it
would be one of other bytes.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from countermark.provenance.metadata.blocks import read_blocks

_ORIENTATION, _GPS = 0x0112, 0x8825
_XMP_KEY = "XML:com.adobe.xmp"
_KEPT_APPS = (b"http://ns.adobe.com/xmp/extension/\0", b"Photoshop 3.0\0")
_TEXT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt", b"pHYs", b"tIME")
#: TIFF tags that describe a picture rather than how it is stored.
_TIFF_TAGS = (269, 270, 271, 272, 285, 305, 306, 315, 316, 33432, 33723, 34377, 700)
_TIFF_FOLDERS = (0x8769, _GPS)
_IN_XMP = re.compile(r"""(tiff:Orientation\s*(?:=\s*["']|>\s*))\d""")
_PLACES = re.compile(
    r"""(?:exif:GPS\w{1,40}|photoshop:(?:City|State|Country)|Iptc4xmpCore:(?:Location|CountryCode)|"""
    r"""Iptc4xmpExt:(?:City|Sublocation|ProvinceState|CountryName|CountryCode|LocationId|LocationName))"""
    r"""\s*(?:=\s*(?:"([^"]{0,2000})"|'([^']{0,2000})')|>([^<]{0,2000})<)"""
)
_PLACE_FIELDS = frozenset({90, 92, 95, 100, 101})
_MAX = 4096


@dataclass
class Carried:
    """What to hand to Pillow when it encodes, what to put into the file afterwards, and what is lost."""

    options: dict[str, Any] = field(default_factory=dict)
    segments: list[bytes] = field(default_factory=list)
    chunks: list[tuple[bytes, bytes]] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def finish(self, encoded: bytes) -> bytes:
        """The encoded picture with the parts that Pillow does not write."""
        if self.segments and encoded.startswith(b"\xff\xd8"):
            at = _after_apps(encoded)
            encoded = encoded[:at] + b"".join(self.segments) + encoded[at:]
        if self.chunks and encoded.startswith(b"\x89PNG"):
            at = encoded.index(b"IDAT") - 4
            body = b"".join(_png_chunk(kind, data) for kind, data in self.chunks)
            encoded = encoded[:at] + body + encoded[at:]
        return encoded


def carry(original: bytes, source: str, target: str, info: dict[str, Any], xmp: str | None = None) -> Carried:
    """How the metadata of a picture goes into another encoding.

    Args:
        original: The picture's file.
        source: Its format, as the image gate names it.
        target: The format of the new encoding.
        info: Pillow's ``info`` of the original.
        xmp: A packet that takes the place of the original's.
    """
    found, carried = read_blocks(original, source), Carried()
    if xmp is not None:
        found.xmp[:1] = [xmp]
    if source == "tiff":
        _from_tiff(original, target, carried)
    elif found.exif:
        exif = upright(found.exif[0])
        if target == "tiff":
            _exif_into_tiff(exif, carried)
        elif target in ("jpeg", "png", "webp", "avif"):
            carried.options["exif"] = b"Exif\0\0" + exif
        else:
            carried.lost.append("EXIF")
    if found.xmp:
        packet = _IN_XMP.sub(r"\g<1>1", found.xmp[0]).encode()
        if target == "png":
            carried.chunks.append((b"iTXt", _XMP_KEY.encode() + b"\0\0\0\0\0" + packet))
        elif target == "tiff":
            carried.options.setdefault("tiffinfo", {})[700] = packet
        elif target in ("jpeg", "webp", "avif") and not (target == "jpeg" and len(packet) > 65_000):
            carried.options["xmp"] = packet
        else:
            carried.lost.append("XMP")
    if source == target == "jpeg":
        carried.segments += [each for each in _segments(original) if _is_kept(each)]
    elif found.iptc and target != "tiff":
        carried.lost.append("IPTC fields (" + ", ".join(dict(found.iptc)) + ")")
    if source == target == "png":
        carried.chunks += [
            (kind, body)
            for kind, body in _png_chunks(original)
            if kind in _TEXT_CHUNKS and not body.startswith(_XMP_KEY.encode() + b"\0")
        ]
    else:
        named = [key for key, _ in found.texts if key != "comment"]
        if named:
            carried.lost.append("text fields (" + ", ".join(list(dict.fromkeys(named))[:8]) + ")")
    comment = next((text for key, text in found.texts if key == "comment"), None)
    if comment is not None and source != "jpeg" and target == "jpeg":
        carried.options["comment"] = comment.encode()[:65_000]
    elif comment is not None and target != "jpeg":
        carried.lost.append("a comment")
    dpi = info.get("dpi")
    if (dpi and target in ("jpeg", "tiff")) or (dpi and target == "png" and source != "png"):
        carried.options["dpi"] = tuple(float(each) for each in dpi)
    elif dpi and target in ("webp", "avif", "gif") and source not in ("webp", "avif"):
        carried.lost.append("the resolution in dots per inch")
    return carried


def upright(tiff: bytes) -> bytes:
    """An EXIF blob whose orientation is 1; everything else keeps its place."""
    entry = _entry(tiff, _ORIENTATION)
    if entry is None:
        return tiff
    value = struct.pack(_order(tiff) + "HH", 1, 0)
    return tiff[: entry + 8] + value + tiff[entry + 12 :]


def without_places(data: bytes, format: str) -> bytes:
    """A picture's file without coordinates and names of places in EXIF, XMP and IPTC, of the same length.

    Maker notes are left as they are.
    """
    found = read_blocks(data, format)
    for blob in found.exif[:4]:
        data = _replaced(data, blob, _blank_gps(blob))
    for packet in found.xmp[:4]:
        for encoding in ("utf-8", "latin-1"):
            try:
                raw = packet.encode(encoding)
            except UnicodeEncodeError:
                continue
            if raw in data:
                data = _replaced(data, raw, _PLACES.sub(_blank, packet).encode(encoding))
                break
    data = _blank_iim(data)
    return _with_checksums(data) if format == "png" else data


def has_places(data: bytes, format: str) -> bool:
    """Whether a file says where its picture was taken, in EXIF or XMP."""
    found = read_blocks(data, format)
    return any(_gps_of(blob) for blob in found.exif[:4]) or any(
        any("".join(filter(None, match.groups())).strip() for match in _PLACES.finditer(packet))
        for packet in found.xmp[:4]
    )


def _from_tiff(original: bytes, target: str, carried: Carried) -> None:
    from PIL import Image

    exif = Image.Exif()
    try:
        exif.load(original[: 64 * 1024 * 1024])
        tags = {tag: exif[tag] for tag in _TIFF_TAGS if tag in exif}
        folders = {tag: dict(exif.get_ifd(tag)) for tag in _TIFF_FOLDERS}
    except Exception:  # Pillow raises many kinds of errors on damaged EXIF
        carried.lost.append("EXIF")
        return
    folders = {tag: values for tag, values in folders.items() if values}
    tags.pop(700, None)  # carried as XMP
    if target == "tiff":
        carried.options.setdefault("tiffinfo", {}).update({**tags, **folders})
    elif tags or folders:
        made = Image.Exif()
        for tag, value in tags.items():
            if tag not in (33723, 34377):
                made[tag] = value
        for tag, values in folders.items():
            made.get_ifd(tag).update(values)
        carried.options["exif"] = made.tobytes()


def _exif_into_tiff(exif: bytes, carried: Carried) -> None:
    from PIL import Image

    read = Image.Exif()
    try:
        read.load(exif)
        tags = {tag: read[tag] for tag in _TIFF_TAGS if tag in read}
        folders = {tag: dict(read.get_ifd(tag)) for tag in _TIFF_FOLDERS}
    except Exception:  # Pillow raises many kinds of errors on damaged EXIF
        carried.lost.append("EXIF")
        return
    kept = {**tags, **{tag: values for tag, values in folders.items() if values}}
    carried.options.setdefault("tiffinfo", {}).update(kept)


def _segments(data: bytes) -> Iterator[bytes]:
    """The segments before a JPEG's first scan, with their markers."""
    position = 2
    for _ in range(_MAX):
        if position + 4 > len(data) or data[position] != 0xFF:
            return
        marker = data[position + 1]
        if marker in (0xDA, 0xD9):
            return
        if marker == 0xFF or marker == 0x01 or 0xD0 <= marker <= 0xD8:
            position += 1 if marker == 0xFF else 2
            continue
        size = max(int.from_bytes(data[position + 2 : position + 4], "big"), 2)
        yield data[position : position + 2 + size]
        position += 2 + size


def _is_kept(segment: bytes) -> bool:
    return segment[1] == 0xFE or segment[4:].startswith(_KEPT_APPS)


def _after_apps(data: bytes) -> int:
    """Behind the segments APP0 to APP2 with which an encoded JPEG begins."""
    position = 2
    for segment in _segments(data):
        if not 0xE0 <= segment[1] <= 0xE2:
            break
        position += len(segment)
    return position


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 8
    for _ in range(_MAX):
        if position + 12 > len(data) or data[position + 4 : position + 8] == b"IEND":
            return
        size = int.from_bytes(data[position : position + 4], "big")
        yield data[position + 4 : position + 8], data[position + 8 : position + 8 + size]
        position += 12 + size


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")


def _with_checksums(data: bytes) -> bytes:
    """A PNG whose metadata chunks were changed in place."""
    chunks = [*_png_chunks(data)]
    length = 8 + sum(len(body) + 12 for _, body in chunks)
    return data[:8] + b"".join(_png_chunk(kind, body) for kind, body in chunks) + data[length:]


def _order(tiff: bytes) -> str:
    return "<" if tiff[:2] == b"II" else ">"


def _entries(tiff: bytes, at: int) -> Iterator[int]:
    if at + 2 <= len(tiff):
        (count,) = struct.unpack_from(_order(tiff) + "H", tiff, at)
        yield from (at + 2 + 12 * n for n in range(min(count, 512)) if at + 14 + 12 * n <= len(tiff))


def _entry(tiff: bytes, wanted: int) -> int | None:
    """Where the entry of a tag in the first directory lies."""
    if len(tiff) < 8 or tiff[:2] not in (b"II", b"MM"):
        return None
    (first,) = struct.unpack_from(_order(tiff) + "I", tiff, 4)
    for at in _entries(tiff, first):
        if struct.unpack_from(_order(tiff) + "H", tiff, at)[0] == wanted:
            return at
    return None


def _gps_of(tiff: bytes) -> list[tuple[int, int]]:
    """(offset, length) of everything in the directory of coordinates, entries and values."""
    entry = _entry(tiff, _GPS)
    if entry is None:
        return []
    order = _order(tiff)
    (start,) = struct.unpack_from(order + "I", tiff, entry + 8)
    found = []
    for at in _entries(tiff, start):
        _, kind, count, value = struct.unpack_from(order + "HHII", tiff, at)
        size = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 9: 4, 10: 8}.get(kind, 1) * count
        if size > 4 and value + size <= len(tiff):
            found.append((value, size))
        found.append((at, 12))
    return [(start, 2), *found] if found else []


def _blank_gps(tiff: bytes) -> bytes:
    blank = bytearray(tiff)
    for at, size in _gps_of(tiff):
        blank[at : at + size] = bytes(size)
    return bytes(blank)


def _blank(match: re.Match[str]) -> str:
    text = match.group(0)
    for number in (1, 2, 3):
        value = match.group(number)
        if value is not None:
            at = match.start(number) - match.start(0)
            return text[:at] + " " * len(value.encode()) + text[at + len(value) :]
    return text


def _blank_iim(data: bytes) -> bytes:
    """JPEG and TIFF files with the IPTC-IIM fields of places filled with spaces."""
    blank = bytearray(data)
    for number in _PLACE_FIELDS:
        head, position = b"\x1c\x02" + bytes([number]), 0
        for _ in range(64):
            position = data.find(head, position)
            if position < 0:
                break
            size = int.from_bytes(data[position + 3 : position + 5], "big")
            inside = data.rfind(b"8BIM\x04\x04", max(0, position - 65_536), position) >= 0
            if inside and size < 0x8000:
                blank[position + 5 : position + 5 + size] = b" " * size
            position += 3
    return bytes(blank)


def _replaced(data: bytes, before: bytes, after: bytes) -> bytes:
    at = data.find(before)
    if at < 0 or len(before) != len(after):
        return data
    return data[:at] + after + data[at + len(before) :]
