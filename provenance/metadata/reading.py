"""Reads what a file says about its own origin: IPTC/XMP, generation parameters, EXIF, broken credentials.

>>> [each.sentence for each in read_metadata(data, "png")]      # doctest: +SKIP
['The field parameters holds generation parameters of Stable Diffusion web UI or a relative.']

Nothing here is signed, so nothing here is certain. Reading is bounded and raises nothing.
"""

from __future__ import annotations

import re

import numpy as np

from countermark.core.exif import Field, fields
from countermark.core.images import sniff_format
from countermark.core.results import Evidence, Strength
from countermark.provenance.credentials.jumbf import has_credential, manifest_store
from countermark.provenance.metadata import rules
from countermark.provenance.metadata.blocks import MAX_TEXT, read_blocks
from countermark.provenance.metadata.generators import named_generator
from countermark.provenance.metadata.stealth import hidden_text

_EXIF_TEXTS = {
    0x010E: "ImageDescription",
    0x0131: "Software",
    0x013B: "Artist",
    0x013C: "HostComputer",
    0x8298: "Copyright",
    0x9C9B: "XPTitle",
    0x9C9C: "XPComment",
}
_USER_COMMENT, _MAKE, _MODEL = 0x9286, 0x010F, 0x0110
#: Types of fields that are bytes of any meaning.
_BYTES = (1, 7)
_MAX_EVIDENCE = 32
#: ComfyUI writes its graphs into EXIF tags of WebP, each with its name in front.
_GRAPH = re.compile(r"(prompt|workflow):\{", re.IGNORECASE)


def read_metadata(
    data: bytes, format: str | None = None, *, alpha: np.ndarray | None = None
) -> list[Evidence]:
    """Evidence in an image file's metadata, strongest first.

    Args:
        data: The encoded image.
        format: As the image gate names it (``png``, ``jpeg`` …); by content when None.
        alpha: The decoded picture's transparency, uint8 H x W, where a prompt may be hidden.

    Returns:
        At most 32 pieces of evidence of kind ``metadata`` or ``file``. Generator parameters and
        a synthetic digital source type are strong; a camera's EXIF is weak; nothing is certain.
    """
    blocks = read_blocks(data, format or sniff_format(data) or "")
    found: list[Evidence] = []
    for packet in blocks.xmp[:4]:
        found += rules.from_xmp(packet[:MAX_TEXT])
    texts = list(blocks.texts[:64]) + blocks.iptc[:64]
    for blob in blocks.exif[:4]:
        named, seen = _exif(blob)
        texts += named
        found += seen
    for key, value in texts:
        evidence = rules.from_text(key, value)
        if evidence is not None:
            found.append(evidence)
    found += rules.from_texts(texts)
    text = None if alpha is None else hidden_text(alpha)
    if text:
        found.append(rules.hidden(text))
    broken = _broken_credential(data)
    if broken is not None:
        found.append(broken)
    return _ordered(found)


def _exif(blob: bytes) -> tuple[list[tuple[str, str]], list[Evidence]]:
    """Text fields of an EXIF blob, and a camera's name as weak evidence."""
    texts: list[tuple[str, str]] = []
    tags = fields(blob, (*_EXIF_TEXTS, _MAKE, _MODEL, _USER_COMMENT), most=MAX_TEXT)
    for tag, name in _EXIF_TEXTS.items():
        text = _as_text(tags.get(tag), wide=name.startswith("XP"))
        if text:
            texts.append((name, text))
    user = _user_comment(tags.get(_USER_COMMENT))
    if user:
        texts.append(("UserComment", user))
    make, model = _as_text(tags.get(_MAKE)), _as_text(tags.get(_MODEL))
    tried = (_GRAPH.match(each) for each in (make, model, *(text for _, text in texts)))
    graphs = [each for each in tried if each is not None]
    texts += [(each[1], each.string[each.end(1) + 1 :]) for each in graphs]
    texts += [("Make", make)] if make else []
    if not make or not model or graphs or named_generator(make):
        return texts, []
    return texts, [rules.camera(make, model)]


def _as_text(field: Field | None, *, wide: bool = False) -> str:
    """A field's words; ``wide`` ones are UTF-16, as Windows writes them."""
    if field is None:
        return ""
    if wide:
        return field.raw.decode("utf-16-le", "replace").strip("\0 ")
    text = field.text()
    if text is None and field.kind in _BYTES:
        text = field.raw.decode("utf-8", "replace")
    return (text or "").strip("\0 ")


def _user_comment(field: Field | None) -> str:
    """EXIF UserComment: eight bytes that name the character code, then the text."""
    if field is None:
        return ""
    if field.kind not in _BYTES:
        return (field.text() or "").strip("\0 ")
    value = field.raw
    code, body = value[:8], value[8:]
    if code.startswith(b"UNICODE"):
        wide = body.decode("utf-16-be", "replace")
        other = body.decode("utf-16-le", "replace")
        plain = max((wide, other), key=lambda text: sum(each.isascii() for each in text[:200]))
        return plain.strip("\0 ")
    return (
        (body if code[:5] == b"ASCII" or code == b"\0" * 8 else value).decode("utf-8", "replace").strip("\0 ")
    )


def _broken_credential(data: bytes) -> Evidence | None:
    """C2PA bytes that are there, but cut off or out of place."""
    if not has_credential(data) or manifest_store(data) is not None:
        return None
    synthetic = b"trainedAlgorithmicMedia" in data or b"rainedAlgorithmicMedia" in data
    sentence = "The file holds the remains of a Content Credential that can no longer be read"
    return Evidence(
        "file",
        "synthetic" if synthetic else "neither",
        Strength.WEAK,
        sentence + (", and they mention AI-generated media." if synthetic else "."),
        {"field": "c2pa", "readable": False},
    )


def _ordered(found: list[Evidence]) -> list[Evidence]:
    """Without repeats, strongest first."""
    order = {Strength.CERTAIN: 0, Strength.STRONG: 1, Strength.WEAK: 2}
    unique: dict[tuple[str, str], Evidence] = {}
    for each in found:
        unique.setdefault((each.sentence, str(each.detail.get("field"))), each)
    return sorted(unique.values(), key=lambda each: order[each.strength])[:_MAX_EVIDENCE]
