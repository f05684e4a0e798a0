"""What containers of clips say of their origin."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from countermark.core.results import Strength
from countermark.core.video.reader import open_clip
from countermark.core.video.sampling import Sampling
from countermark.provenance.metadata.clips import XMP_BOX, read_clip_metadata, xmp_packets


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv"])
def test_the_label_of_gb_45438_is_read_from_a_container(make_clip, tmp_path: Path, name: str) -> None:
    path = make_clip(tmp_path / name, count=2, texts={"AIGC": '{"Label":"1","ContentProducer":"maker"}'})
    with open_clip(path, Sampling(1)) as clip:
        (found,) = [e for e in read_clip_metadata(clip.texts) if e.points_to == "synthetic"]
    assert found.kind == "metadata" and found.strength is Strength.STRONG and "45438" in found.sentence


def test_graphs_and_programs_in_texts() -> None:
    graph = {"3": {"class_type": "KSampler"}, "4": {"class_type": "CheckpointLoaderSimple"}}
    comment = json.dumps({"prompt": json.dumps(graph), "workflow": {}})
    (found,) = read_clip_metadata((("comment", comment), ("encoder", "Lavf62.3.100")))
    assert found.strength is Strength.STRONG and "ComfyUI" in found.sentence
    assert (
        read_clip_metadata((("comment", "{not json"), ("comment", "[" * 100_000), ("title", "a walk"))) == []
    )
    (camera,) = read_clip_metadata(
        (("com.apple.quicktime.make", "Apple"), ("com.apple.quicktime.model", "iPhone 15"))
    )
    assert camera.points_to == "captured" and camera.strength is Strength.WEAK
    assert camera.sentence.startswith("The container names a camera")


def box(kind: bytes, body: bytes) -> bytes:
    return (8 + len(body)).to_bytes(4, "big") + kind + body


def test_xmp_is_read_from_where_it_belongs() -> None:
    packet = (
        b'<x DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"/>'
    )
    outside = box(b"uuid", XMP_BOX + packet)
    inside = box(b"moov", box(b"udta", box(b"XMP_", packet)))
    for data in (outside, inside):
        (text,) = xmp_packets(io.BytesIO(box(b"ftyp", b"isom") + data))
        (found,) = read_clip_metadata((), [text])
        assert found.points_to == "synthetic" and found.strength is Strength.STRONG
    assert xmp_packets(io.BytesIO(box(b"mdat", outside))) == []
    assert len(xmp_packets(io.BytesIO(outside * 50))) == 4
