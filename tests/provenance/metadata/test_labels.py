"""Labels: written into every container without touching the picture, read back, and nothing else is lost."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from countermark.core.errors import ProvenanceError
from countermark.core.images import read_image
from countermark.provenance.metadata.blocks import read_blocks
from countermark.provenance.metadata.labels import (
    AIGC_KEYS,
    Label,
    aigc_fields,
    labelled_packet,
    labels_in,
    read_label,
)
from countermark.provenance.metadata.writing import WRITERS, with_xmp

PIXELS = np.random.default_rng(3).integers(0, 255, (40, 56, 3), dtype=np.uint8)
LABEL = Label("trainedAlgorithmicMedia", "a model", "2", aigc_fields("Röntgen & <Söhne>", "42"))
OTHER = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" '
    'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    'Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture">'
    "<dc:format>kept</dc:format></rdf:Description></rdf:RDF></x:xmpmeta>"
)


def saved(format: str, mode: str = "RGB", **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(stream, format, **options)
    return stream.getvalue()


@pytest.mark.parametrize("format", sorted(WRITERS))
@pytest.mark.parametrize("before", ["", OTHER])
def test_a_label_is_written_beside_what_is_there(format: str, before: str) -> None:
    exif = Image.Exif()
    exif[0x10E] = "a description"
    options: dict[str, object] = {"exif": exif}
    if before and format in ("jpeg", "webp"):
        options["xmp"] = before.encode()
    data = saved(format, **options)
    if before and format in ("png", "tiff"):
        data = with_xmp(data, format, before)
    found = with_xmp(data, format, labelled_packet(LABEL, next(iter(read_blocks(data, format).xmp), "")))
    assert np.array_equal(read_image(found).pixels, read_image(data).pixels)
    assert read_label(found, format) == LABEL
    packets = read_blocks(found, format).xmp
    assert len(packets) == 1
    assert ("kept" in packets[0]) == bool(before) and "digitalCapture" not in packets[0]
    with Image.open(io.BytesIO(found)) as opened:
        opened.load()
        assert opened.getexif()[0x10E] == "a description"
    if format != "tiff":  # there every label leaves the one before it at its place, unnamed
        assert len(with_xmp(found, format, packets[0])) == len(found)


@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 80}, {"lossless": True, "mode": "RGBA"}])
def test_a_plain_webp_gets_the_head_that_metadata_need(options: dict[str, object]) -> None:
    data = saved("webp", **{"mode": "RGB", **options})  # type: ignore[arg-type]
    found = with_xmp(data, "webp", labelled_packet(LABEL))
    with Image.open(io.BytesIO(data)) as before, Image.open(io.BytesIO(found)) as after:
        assert (before.size, before.mode) == (after.size, after.mode)
        assert before.tobytes() == after.tobytes()
    assert read_label(found, "webp") == LABEL


def test_a_packet_is_well_formed_xml_with_two_properties() -> None:
    root = ElementTree.fromstring(labelled_packet(LABEL, OTHER))
    values = {element.tag.rpartition("}")[2]: element.text for element in root.iter()}
    assert values["DigitalSourceType"] == (
        "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    )
    assert '"ContentProducer":"Röntgen & <Söhne>"' in (values["AIGC"] or "")


def test_an_aigc_label_has_the_fields_of_the_standard() -> None:
    assert tuple(aigc_fields("a", "b")) == AIGC_KEYS and aigc_fields("a", "b")["Label"] == "1"


@settings(deadline=None)
@given(producer=st.text(max_size=80), number=st.text(max_size=40), system=st.text(max_size=40))
def test_any_text_gives_well_formed_xml(producer: str, number: str, system: str) -> None:
    packet = labelled_packet(Label("trainedAlgorithmicMedia", system, "", aigc_fields(producer, number)))
    ElementTree.fromstring(packet.encode("utf-8"))
    assert labels_in(packet).term == "trainedAlgorithmicMedia"


@pytest.mark.parametrize("packet", ["no XMP at all", "<rdf:RDF/>", OTHER + OTHER])
def test_what_is_no_packet_is_refused(packet: str) -> None:
    with pytest.raises(ProvenanceError) as caught:
        labelled_packet(LABEL, packet)
    assert caught.value.code == "label.packet"


def test_a_label_that_is_too_long_is_refused() -> None:
    with pytest.raises(ProvenanceError) as caught:
        labelled_packet(Label("trainedAlgorithmicMedia", "x" * 3000))
    assert caught.value.code == "label.long"
    with pytest.raises(ProvenanceError) as caught:
        with_xmp(saved("jpeg"), "jpeg", "x" * 70_000)
    assert caught.value.code == "label.long"


@pytest.mark.parametrize("format", ["avif", "gif", "heif", "bmp"])
def test_other_containers_are_refused(format: str) -> None:
    with pytest.raises(ProvenanceError) as caught:
        with_xmp(b"", format, "packet")
    assert caught.value.code == "label.format"


@settings(deadline=None)
@given(data=st.data(), format=st.sampled_from(sorted(WRITERS)))
def test_damaged_files_are_written_or_refused(data: st.DataObject, format: str) -> None:
    whole = saved(format)
    cut = data.draw(st.integers(0, len(whole)))
    at = data.draw(st.integers(0, len(whole) - 1))
    broken = (whole[:at] + bytes([data.draw(st.integers(0, 255))]) + whole[at + 1 :])[:cut]
    try:
        with_xmp(broken, format, "<packet/>")
    except ProvenanceError as error:
        assert error.code == "label.damaged"


def test_labels_of_strangers_are_read_with_bounds() -> None:
    assert labels_in("<TC260:AIGC>" + '{"a":' * 5000 + "</TC260:AIGC>").aigc == {}
    assert labels_in('TC260:AIGC="[1]"') == Label()
    assert labels_in("<Iptc4xmpExt:DigitalSourceType " + "<" * 50_000) == Label()
    long = labels_in('<TC260:AIGC>{"Label":"' + "1" * 3000 + '"}</TC260:AIGC>')
    assert len(long.aigc["Label"]) <= 500
