"""What a clip's container says about its origin: named texts, XMP, the AIGC label of GB 45438-2025.

>>> [each.sentence for each in read_clip_metadata((("AIGC", '{"Label":"1"}'),))]
['An AIGC label (GB 45438) says that the image is generated.']

Nothing here is signed, so nothing here is certain.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import IO

from countermark.core.results import Evidence, Strength
from countermark.core.video.boxes import boxes, within
from countermark.provenance.metadata import rules

#: The box of XMP packets in MP4 files (XMP specification, part 3, 1.1.5), and that of QuickTime.
XMP_BOX = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_QUICKTIME_XMP = "XMP_"
MAX_PACKET = 1024 * 1024
MAX_PACKETS = 4
_MAX_TEXTS, _MAX_EVIDENCE = 128, 32
#: Keys of containers that say what a field of pictures says.
_NAMES = {
    "encoder": "Software",
    "com.apple.quicktime.software": "Software",
    "writing_application": "Software",
    "com.apple.quicktime.comment": "Comment",
    "com.apple.quicktime.description": "ImageDescription",
    "description": "ImageDescription",
    "synopsis": "ImageDescription",
    "com.apple.quicktime.artist": "Artist",
    "com.apple.quicktime.title": "Title",
}
_MAKE = ("com.apple.quicktime.make", "make")
_MODEL = ("com.apple.quicktime.model", "model")
#: What nodes that save clips put into one comment: graphs of ComfyUI under these names.
_GRAPHS = ("prompt", "workflow", "parameters")


def read_clip_metadata(texts: Sequence[tuple[str, str]], xmp: Sequence[str] = ()) -> list[Evidence]:
    """Evidence in a clip's metadata, strongest first.

    Args:
        texts: Names and values of the container's texts, as ``core.video.reader.Clip.texts`` gives them.
        xmp: XMP packets, as ``xmp_packets`` gives them.
    """
    found: list[Evidence] = []
    for packet in xmp[:MAX_PACKETS]:
        found += rules.from_xmp(packet[:MAX_PACKET])
    named = [(_NAMES.get(key.lower(), key), value) for key, value in texts[:_MAX_TEXTS]]
    named += [pair for key, value in list(named) if key.lower() == "comment" for pair in _graphs(value)]
    for key, value in named:
        evidence = rules.from_text(key, value)
        if evidence is not None:
            found.append(evidence)
    found += rules.from_texts(named)
    lower = {key.lower(): value.strip() for key, value in texts[:_MAX_TEXTS]}
    make, model = (next((lower[key] for key in keys if lower.get(key)), "") for keys in (_MAKE, _MODEL))
    if make and model:
        found.append(_camera(rules.camera(make, model)))
    order = {Strength.CERTAIN: 0, Strength.STRONG: 1, Strength.WEAK: 2}
    unique = {(each.sentence, str(each.detail.get("field"))): each for each in reversed(found)}
    return sorted(reversed(unique.values()), key=lambda each: order[each.strength])[:_MAX_EVIDENCE]


def _camera(evidence: Evidence) -> Evidence:
    return replace(evidence, sentence=evidence.sentence.replace("EXIF names", "The container names", 1))


def xmp_packets(stream: IO[bytes]) -> list[str]:
    """XMP packets of an open MP4 or MOV file, at most four of at most a megabyte."""
    found: list[str] = []
    for kind, at, size in _candidates(stream):
        if len(found) >= MAX_PACKETS:
            break
        stream.seek(at)
        if kind == "uuid":
            if size < len(XMP_BOX) or stream.read(len(XMP_BOX)) != XMP_BOX:
                continue
            size -= len(XMP_BOX)
        found.append(stream.read(min(size, MAX_PACKET)).decode("utf-8", "replace"))
    return found


def _candidates(stream: IO[bytes]) -> Iterator[tuple[str, int, int]]:
    for kind, at, size in boxes(stream):
        if kind == "uuid":
            yield kind, at, size
        elif kind == "moov":
            for inner, place, length in within(stream, frozenset({"udta", "trak"}), at, at + size):
                if inner in ("uuid", _QUICKTIME_XMP):
                    yield inner, place, length


def _graphs(comment: str) -> list[tuple[str, str]]:
    """Graphs in a comment that is a JSON object of them."""
    if not comment.lstrip().startswith("{") or len(comment) > rules.MAX_JSON:
        return []
    try:
        held = json.loads(comment)
    except (ValueError, RecursionError):
        return []
    if not isinstance(held, dict):
        return []
    pairs = ((name, held.get(name)) for name in _GRAPHS)
    return [(name, value if isinstance(value, str) else json.dumps(value)) for name, value in pairs if value]
