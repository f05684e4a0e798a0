"""Kinds of picture: what a photograph's threshold must not be decided by.

Paintings and renders score otherwise than photographs, real ones too. Every picture of a corpus may have a
kind in words; this is the one table from such words to the kinds that thresholds and reports know.

>>> kind_of("travel/landscape"), kind_of("oil painting"), kind_of("something else")
('photograph', 'painting', '')
"""

from __future__ import annotations

KINDS = ("photograph", "painting", "illustration", "render", "screenshot", "document")

_WORDS: dict[str, tuple[str, ...]] = {
    # Read in this order: "photo of a painting" is a painting, "chart/UI screenshot" a screenshot,
    # a scanned engraving is art, not writing.
    "screenshot": ("screenshot", "screen", "diagram", "interface"),
    "painting": ("painting", "drawing", "engraving", "sketch", "watercolour", "watercolor"),
    "document": ("document", "scan", "receipt", "map"),
    "illustration": (
        "illustration", "anime", "comic", "cartoon", "pixel-art", "logo", "design",
        "character art", "blog-cover",
    ),
    "render": ("render", "3d", "game"),
    "photograph": (
        "photo", "portrait", "product", "food", "interior", "landscape", "street", "night", "travel",
        "wedding", "animal", "event", "fashion", "architecture", "macro", "aerial",
    ),
}  # fmt: skip


def kind_of(words: str) -> str:
    """One of ``KINDS``, or ``""`` where the words name none."""
    lower = words.lower()
    return next((kind for kind, known in _WORDS.items() if any(word in lower for word in known)), "")
