"""Labels that a picture gets when it is signed: in its metadata, and, when asked for, to be seen.

>>> Label(provider="studio", visible="AI-generated").visible
'AI-generated'
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from countermark.core.errors import ConfigError, ImageError, ProvenanceError
from countermark.core.images import LoadedImage
from countermark.provenance import source_types
from countermark.provenance.credentials.claims import DEFAULT_EDIT_TYPE, DEFAULT_SOURCE_TYPE, model_facts
from countermark.provenance.metadata import labels
from countermark.provenance.metadata.blocks import read_blocks

#: Least height of a visible label's letters, as a share of the picture's shorter side (GB 45438-2025: 5 %).
LETTERS = 0.05
_LEAST_PIXELS = 9
_MAX_TEXT = 60
_INK, _PAPER, _OPACITY = 255, 0, 0.62


@dataclass(frozen=True)
class Label:
    """What to write.

    Attributes:
        provider: Who offers the generator: the AIGC label's producer. By default the generator's name.
        number: The picture's number there. By default the identifier that its watermark gets.
        aigc: Whether the AIGC field (GB 45438-2025) is written beside IPTC's source type.
        visible: Text to be drawn into a corner of the picture; empty for none.
        font: A TrueType or OpenType file for that text; None for a font with Latin letters.
    """

    provider: str = ""
    number: str = ""
    aigc: bool = True
    visible: str = ""
    font: Path | str | None = None


def identifier_for(label: Label) -> tuple[bytes, str]:
    """A watermark's payload (8 bytes) and the number in the label: by default the same."""
    payload = secrets.token_bytes(8)
    return payload, label.number or payload.hex()


def packet_for(
    label: Label,
    number: str,
    data: bytes,
    format: str,
    *,
    source_type: str | None,
    edited: bool,
    generator: str | None,
    model: str | Mapping[str, Any] | None,
) -> str:
    """The picture's XMP with the label in it.

    Args:
        label: What to write.
        number: The picture's number.
        data: The encoded picture, whose own XMP is kept.
        format: Its format.
        source_type: The term that was asked for, or None.
        edited: Whether the picture has a history, so that it was edited rather than made.
        generator: Name of the generator, with its version or without.
        model: Name or facts of the model.

    Raises:
        ProvenanceError: ``label.source-type``: the picture is not declared as generated.
    """
    default = DEFAULT_EDIT_TYPE if edited else DEFAULT_SOURCE_TYPE
    if edited and not (source_type or generator or model):
        raise _no_type("nothing says that it was generated")
    uri = source_types.expand(source_type or default)
    term = source_types.term_of(uri) or ""
    if source_types.points_to(term) != "synthetic":
        raise _no_type(f"{term} does not say that it was generated")
    made_by = model_facts(generator or model or "")
    name = str(made_by.get("name", ""))
    written = labels.Label(
        term,
        name,
        str(made_by.get("version", "")),
        labels.aigc_fields(label.provider or name, number) if label.aigc else {},
    )
    existing = next(iter(read_blocks(data, format).xmp), "")
    return labels.labelled_packet(written, existing)


def drawn(image: LoadedImage, label: Label) -> LoadedImage:
    """The picture with the visible label in its lower left corner: white letters on a dark field.

    Raises:
        ImageError: ``label.room``: the text does not fit; ``label.transparent``: nobody would see it.
        ConfigError: ``label.text`` or ``label.font``: the font cannot be read, or lacks a letter.
    """
    text = label.visible
    if not text.isprintable() or not text.strip() or len(text) > _MAX_TEXT:
        raise ConfigError(f"A visible label has 1 to {_MAX_TEXT} letters on one line.", code="label.text")
    height, width = image.pixels.shape[:2]
    wanted = max(_LEAST_PIXELS, math.ceil(LETTERS * min(width, height)))
    font = _font(label.font, text, wanted)
    left, top, right, bottom = font.getbbox(text)
    margin = max(2, wanted // 3)
    box = (int(right - left) + 2 * margin, int(bottom - top) + 2 * margin)
    if box[0] > width or box[1] > height:
        raise ImageError(
            f"The label {text!r} does not fit into a picture of {width} x {height}.",
            code="label.room",
            hint="Use a shorter text, such as AI.",
        )
    place = (slice(height - box[1], height), slice(0, box[0]))
    if image.alpha is not None and int(image.alpha[place].min()) < 255:
        raise ImageError(
            "The corner for the visible label is transparent, so it would not be seen.",
            code="label.transparent",
            hint="Lay the picture over a background first, or sign without a visible label.",
        )
    mask = Image.new("L", box, 0)
    ImageDraw.Draw(mask).text((margin - left, margin - top), text, fill=255, font=font)
    ink = np.asarray(mask, dtype=np.float32)[..., None] / 255
    pixels = image.pixels.copy()
    under = pixels[place].astype(np.float32) * (1 - _OPACITY) + _PAPER * _OPACITY
    pixels[place] = np.rint(under * (1 - ink) + _INK * ink).astype(np.uint8)
    return replace(image, pixels=pixels)


def _font(path: Path | str | None, text: str, wanted: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """A font in which a capital letter is ``wanted`` pixels high, with all letters of ``text``."""
    size = wanted
    for _ in range(4 * wanted):
        font = _load(path, size)
        if isinstance(font, ImageFont.ImageFont):
            raise ConfigError("Pillow was built without FreeType.", code="label.font")
        _, top, _, bottom = font.getbbox("A" if "A" in text else text[0])
        if bottom - top >= wanted:
            break
        size += 1
    missing = bytes(font.getmask("\U0010fffe"))
    lacking = sorted({each for each in text if not each.isspace() and bytes(font.getmask(each)) == missing})
    if lacking:
        raise ConfigError(
            f"The font has no letter {lacking[0]!r}.",
            code="label.font",
            hint="Give a font that has it: countermark sign --label-font FILE",
        )
    return font


def _load(path: Path | str | None, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    try:
        return ImageFont.load_default(size) if path is None else ImageFont.truetype(str(path), size)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"The font {path} cannot be read.", code="label.font", hint="Give a TrueType or OpenType file."
        ) from error


def _no_type(why: str) -> ProvenanceError:
    return ProvenanceError(
        f"The picture is not labelled: {why}.",
        code="label.source-type",
        hint="Say what it is: countermark sign --source-type trainedAlgorithmicMedia",
    )
