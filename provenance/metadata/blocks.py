"""Takes metadata blocks out of image files: texts, XMP, EXIF, IPTC, comments. Bounded, decodes no pixels.

>>> blocks = read_blocks(png_bytes, "png")        # doctest: +SKIP
>>> blocks.texts                                  # doctest: +SKIP
[('parameters', 'a cat, Steps: 20, Sampler: Euler a, Seed: 7')]

Each format is walked as it is laid out, and blocks are taken from where its standard has them: what lies
between or after (bytes after the end of a JPEG, XMP packets there too) belongs to nobody and is not read.
Sources: PNG (ISO/IEC 15948: tEXt, zTXt, iTXt, eXIf; ComfyUI's ``comf``; ImageMagick's hexadecimal "Raw
profile" texts), JPEG (APP1, APP13, COM), WebP (RIFF chunks), GIF (comment and application extensions),
HEIC and AVIF (``boxes``), TIFF/EXIF tags. Each walk stops at ``MAX_BLOCKS`` blocks, ``MAX_TEXT`` bytes for
one text and ``MAX_TEXTS`` bytes for all of a file's, unpacked.
"""

from __future__ import annotations

import binascii
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from countermark.provenance.metadata import boxes

MAX_BLOCKS = 4096
MAX_TEXT = 1024 * 1024
MAX_TEXTS = 8 * 1024 * 1024
MAX_SCAN = 64 * 1024 * 1024
_MAX_STEPS = 500_000
_XMP_KEY = "XML:com.adobe.xmp"
_XMP_JPEG = b"http://ns.adobe.com/xap/1.0/\0"
_XMP_MORE = b"http://ns.adobe.com/xmp/extension/\0"
_PHOTOSHOP = b"Photoshop 3.0\0"
_RAW_PROFILE = "raw profile type "
_XMP_TAG, _IPTC_TAG = 700, 33723

#: Datasets of IPTC-IIM, record 2, by number.
IIM_FIELDS = {
    5: "Title", 25: "Keywords", 65: "Software", 80: "By-line", 90: "City", 105: "Headline",
    110: "Credit", 115: "Source", 116: "Copyright", 120: "Caption", 122: "Caption writer",
}  # fmt: skip


@dataclass
class Blocks:
    """What was found: named texts, XMP packets, EXIF blobs (TIFF header first), IPTC-IIM fields.

    ``room`` is what further texts of the file may take, in bytes; ``steps`` counts small blocks passed over.
    """

    texts: list[tuple[str, str]] = field(default_factory=list)
    xmp: list[str] = field(default_factory=list)
    exif: list[bytes] = field(default_factory=list)
    iptc: list[tuple[str, str]] = field(default_factory=list)
    room: int = MAX_TEXTS
    steps: int = 0

    def text(self, raw: bytes, *, packed: bool = False) -> str:
        """``raw`` (a zlib stream where ``packed``) as text, within what is left of the file's budget."""
        most = min(MAX_TEXT, self.room)
        raw = _inflate(raw, most) if packed else raw[:most]
        self.room -= len(raw)
        return _text(raw)


def read_blocks(data: bytes, format: str) -> Blocks:
    """The metadata blocks of an encoded image; ``format`` as the image gate names it.

    Damaged parts are left out; nothing is raised.
    """
    blocks = Blocks()
    walks = {"png": _png, "jpeg": _jpeg, "webp": _webp, "gif": _gif, "tiff": _tiff}
    walk = _items if format in ("avif", "heif") else walks.get(format)
    if walk is not None:
        walk(data, blocks)
    return blocks


def _png(data: bytes, blocks: Blocks) -> None:
    for kind, body in _png_chunks(data):
        if blocks.room <= 0:
            return
        key_bytes, _, rest = body.partition(b"\0")
        key = _latin(key_bytes)[:200]
        if kind in (b"tEXt", b"comf"):
            _png_text(key, blocks.text(rest), blocks)
        elif kind == b"zTXt":
            _png_text(key, blocks.text(rest[1:], packed=True), blocks)
        elif kind == b"iTXt":
            compressed, rest = rest[:1] == b"\1", rest[2:]
            value = rest.split(b"\0", 2)[-1]
            _png_text(key, blocks.text(value, packed=compressed), blocks)
        elif kind == b"eXIf":
            blocks.exif.append(body)


def _png_text(key: str, text: str, blocks: Blocks) -> None:
    if key == _XMP_KEY:  # in iTXt, as the XMP specification wants it, or in tEXt
        blocks.xmp.append(text)
        return
    if not key.lower().startswith(_RAW_PROFILE):
        blocks.texts.append((key, text))
        return
    profile = key[len(_RAW_PROFILE) :].lower()
    body = _raw_profile(text)
    if profile == "xmp" or body.startswith(_XMP_JPEG):
        blocks.xmp.append(_text(body.removeprefix(_XMP_JPEG)))
    elif profile in ("exif", "app1"):
        blocks.exif.append(body.removeprefix(b"Exif\0\0"))
    elif profile in ("iptc", "8bim"):
        blocks.iptc += _photoshop(body)


def _raw_profile(text: str) -> bytes:
    """ImageMagick's form: a line with the name, one with the length, then hexadecimal digits."""
    lines = text.strip().split("\n", 2)
    if len(lines) < 3 or not lines[1].strip().isdigit():
        return b""
    digits = "".join(lines[2].split())
    try:
        return binascii.unhexlify(digits[: len(digits) // 2 * 2])[:MAX_TEXT]
    except (binascii.Error, ValueError):
        return b""


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 8
    for _ in range(MAX_BLOCKS):
        if position + 12 > len(data):
            return
        size = int.from_bytes(data[position : position + 4], "big")
        kind = data[position + 4 : position + 8]
        if kind == b"IEND":
            return
        if kind in (b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"comf"):
            yield kind, data[position + 8 : position + 8 + min(size, MAX_TEXT)]
        position += 12 + size


def _jpeg(data: bytes, blocks: Blocks) -> None:
    position = 2
    more: dict[bytes, dict[int, bytes]] = {}
    for _ in range(MAX_BLOCKS):
        if position + 4 > len(data) or data[position] != 0xFF:
            break
        marker = data[position + 1]
        if marker in (0xDA, 0xD9):
            break
        if marker == 0xFF or marker == 0x01 or 0xD0 <= marker <= 0xD8:
            position += 1 if marker == 0xFF else 2
            continue
        size = max(int.from_bytes(data[position + 2 : position + 4], "big"), 2)
        body = data[position + 4 : position + 2 + size]
        if marker == 0xE1 and body.startswith(b"Exif\0"):
            blocks.exif.append(body[6:])
        elif marker == 0xE1 and body.startswith(_XMP_JPEG):
            blocks.xmp.append(blocks.text(body[len(_XMP_JPEG) :]))
        elif marker == 0xE1 and body.startswith(_XMP_MORE):
            at = len(_XMP_MORE)
            pieces = more.setdefault(body[at : at + 32], {})
            pieces[int.from_bytes(body[at + 36 : at + 40], "big")] = body[at + 40 :]
        elif marker == 0xED and body.startswith(_PHOTOSHOP):
            if len(blocks.iptc) < MAX_BLOCKS:
                blocks.iptc += _photoshop(body[len(_PHOTOSHOP) :])
        elif marker == 0xFE:
            blocks.texts.append(("comment", blocks.text(body)))
        position += 2 + size
    for pieces in list(more.values())[:4]:
        blocks.xmp.append(blocks.text(b"".join(pieces[offset] for offset in sorted(pieces))))


def _webp(data: bytes, blocks: Blocks) -> None:
    position = 12
    for _ in range(MAX_BLOCKS):
        if position + 8 > len(data):
            return
        kind = data[position : position + 4]
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        body = data[position + 8 : position + 8 + min(size, MAX_TEXT)]
        if kind == b"EXIF":
            blocks.exif.append(body.removeprefix(b"Exif\0\0"))
        elif kind == b"XMP ":
            blocks.xmp.append(blocks.text(body))
        position += 8 + size + size % 2


def _gif(data: bytes, blocks: Blocks) -> None:
    """GIF89a: comment extensions, and XMP in an application extension."""
    if len(data) < 13:
        return
    position = 13 + (3 << ((data[10] & 7) + 1) if data[10] & 0x80 else 0)
    for _ in range(MAX_BLOCKS):
        kind = data[position : position + 1]
        if kind == b"!":
            label = data[position + 1 : position + 2]
            position += 2
            if data[position : position + 12] == b"\x0bXMP DataXMP":
                start, position = position + 12, _gif_skip(data, position, blocks)
                packet = data[start : min(position, start + MAX_TEXT)]
                end = packet.rfind(b">")  # before the "magic trailer" of 257 bytes
                blocks.xmp.append(blocks.text(packet[: end + 1]))
                continue
            start, position = position, _gif_skip(data, position, blocks)
            if label == b"\xfe":
                blocks.texts.append(("comment", blocks.text(_gif_blocks(data, start, position))))
        elif kind == b",":
            flags = data[position + 9 : position + 10] or b"\0"
            position += 10 + (3 << ((flags[0] & 7) + 1) if flags[0] & 0x80 else 0) + 1
            position = _gif_skip(data, position, blocks)
        else:
            return


def _gif_skip(data: bytes, position: int, blocks: Blocks) -> int:
    """The position after a chain of sub-blocks; the end of the file once too many were passed over."""
    while position < len(data):
        blocks.steps += 1
        if blocks.steps > _MAX_STEPS:
            return len(data)
        size = data[position]
        position += 1 + size
        if size == 0:
            break
    return position


def _gif_blocks(data: bytes, position: int, end: int) -> bytes:
    found = bytearray()
    while position < min(end, len(data)) and data[position] and len(found) < MAX_TEXT:
        found += data[position + 1 : position + 1 + data[position]]
        position += 1 + data[position]
    return bytes(found[:MAX_TEXT])


def _items(data: bytes, blocks: Blocks) -> None:
    for kind, content, body in boxes.items(data):
        if kind == "Exif":
            blocks.exif.append(boxes.exif_of(body))
        elif content in boxes.XMP_TYPES:
            blocks.xmp.append(blocks.text(body))


def _tiff(data: bytes, blocks: Blocks) -> None:
    blocks.exif.append(data[:MAX_SCAN])
    packet = _tiff_tag(data, _XMP_TAG)
    if packet:
        blocks.xmp.append(_text(packet))
    iptc = _tiff_tag(data, _IPTC_TAG)
    if iptc:
        blocks.iptc += _iim(iptc)


def _tiff_tag(data: bytes, wanted: int) -> bytes:
    """The bytes of a tag in the first directory; empty when there is none."""
    order: str = "little" if data[:2] == b"II" else "big"

    def number(at: int, size: int) -> int:
        return int.from_bytes(data[at : at + size], order)  # type: ignore[arg-type]

    start = number(4, 4)
    for entry in range(start + 2, start + 2 + 12 * min(number(start, 2), MAX_BLOCKS), 12):
        if entry + 12 > len(data) or number(entry, 2) != wanted:
            continue
        size = number(entry + 4, 4) * {1: 1, 2: 1, 3: 2, 4: 4, 7: 1}.get(number(entry + 2, 2), 1)
        at = entry + 8 if size <= 4 else number(entry + 8, 4)
        return data[at : at + min(size, MAX_TEXT)]
    return b""


def _photoshop(data: bytes) -> list[tuple[str, str]]:
    """IPTC-IIM fields in Photoshop's image resources, or in bare IIM."""
    if not data.startswith(b"8BIM"):
        return _iim(data)
    found: list[tuple[str, str]] = []
    position = 0
    for _ in range(MAX_BLOCKS):
        if data[position : position + 4] != b"8BIM" or position + 12 > len(data):
            break
        kind = int.from_bytes(data[position + 4 : position + 6], "big")
        name = data[position + 6]
        start = position + 6 + (name + 2) // 2 * 2
        size = int.from_bytes(data[start : start + 4], "big")
        if kind == 0x0404:
            found += _iim(data[start + 4 : start + 4 + size])
        position = start + 4 + size + size % 2
    return found


def _iim(data: bytes) -> list[tuple[str, str]]:
    """Named fields of record 2 (IPTC-IIM 4.2)."""
    found: list[tuple[str, str]] = []
    position = 0
    for _ in range(MAX_BLOCKS):
        if position + 5 > len(data) or data[position] != 0x1C:
            break
        record, dataset = data[position + 1], data[position + 2]
        size = int.from_bytes(data[position + 3 : position + 5], "big")
        if size & 0x8000:  # an extended length, which no text needs
            break
        if record == 2 and dataset in IIM_FIELDS:
            found.append((IIM_FIELDS[dataset], _text(data[position + 5 : position + 5 + size])))
        position += 5 + size
    return found


def _inflate(data: bytes, most: int) -> bytes:
    """At most ``most`` bytes (one at least) of a zlib stream; nothing of a damaged one."""
    try:
        return zlib.decompressobj().decompress(data, max(most, 1))
    except zlib.error:
        return b""


def _text(raw: bytes) -> str:
    raw = raw[:MAX_TEXT]
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return _latin(raw)


def _latin(raw: bytes) -> str:
    return raw.decode("latin-1")
