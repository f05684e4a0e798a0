"""Metadata: what generators write is found, cameras prove nothing, hostile bytes do nothing."""

from __future__ import annotations

import io
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from countermark.core.results import Strength
from countermark.provenance.credentials.signing import sign_bytes
from countermark.provenance.metadata.reading import read_metadata

TERM = "http://cv.iptc.org/newscodes/digitalsourcetype/"
A1111 = (
    "a cat\nNegative prompt: dog\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 12, Size: 64x64, Model: sd"
)


def png(**fields: str) -> bytes:
    info = PngImagePlugin.PngInfo()
    for key, value in fields.items():
        info.add_text(key, value, zip=len(value) > 200)
    return saved("PNG", pnginfo=info)


def saved(format: str, **options) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (16, 16)).save(stream, format, **options)
    return stream.getvalue()


def xmp(inner: str) -> bytes:
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF>{inner}</rdf:RDF></x:xmpmeta>'.encode()


@pytest.mark.parametrize(
    ("fields", "maker"),
    [
        ({"parameters": A1111}, "Stable Diffusion"),
        ({"parameters": A1111 + " " * 500}, "Stable Diffusion"),
        ({"prompt": '{"3": {"class_type": "KSampler", "inputs": {"seed": 5}}}'}, "ComfyUI"),
        ({"workflow": '{"nodes": [{"id": 1, "type": "KSampler"}], "links": []}'}, "ComfyUI"),
        ({"Software": "NovelAI", "Comment": '{"steps": 28, "sampler": "k_euler", "seed": 3}'}, "NovelAI"),
        ({"invokeai_metadata": '{"seed": 3}'}, "InvokeAI"),
        ({"Description": "a cat --v 6.1 Job ID: 12345678-1234-1234-1234-123456789012"}, "Midjourney"),
        ({"fooocus_scheme": "fooocus"}, "Fooocus"),
        ({"AIGC": '{"Label":"1","ContentProducer":"x"}'}, "AIGC"),
    ],
)
def test_generation_parameters_in_png(fields, maker):
    evidence = read_metadata(png(**fields), "png")
    assert evidence[0].points_to == "synthetic" and evidence[0].strength is Strength.STRONG
    assert any(maker in each.sentence for each in evidence)


def test_facts_are_taken_out():
    detail = read_metadata(png(parameters=A1111))[0].detail
    assert (detail["Seed"], detail["Model"], detail["prompt"]) == ("12", "sd", "a cat")


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "hello"},
        {"Software": "Adobe Photoshop 25.0"},
        {"Comment": "holiday"},
        {"Title": "fluxus art"},
        {"parameters": "width=3"},
    ],
)
def test_ordinary_fields_say_nothing(fields):
    assert read_metadata(png(**fields), "png") == []


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "PNG"])
@pytest.mark.parametrize(
    "inner",
    [
        f'<rdf:Description Iptc4xmpExt:DigitalSourceType="{TERM}trainedAlgorithmicMedia"/>',
        f"<Iptc4xmpExt:DigitalSourceType>{TERM}trainedAlgorithmicMedia</Iptc4xmpExt:DigitalSourceType>",
        f'<Iptc4xmpExt:DigitalSourceType rdf:resource="{TERM}trainedAlgorithmicMedia"/>',
    ],
)
def test_digital_source_type_in_xmp(format, inner):
    if format == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", xmp(inner).decode(), zip=True)
        data = saved("PNG", pnginfo=info)
    else:
        data = saved(format, xmp=xmp(inner))
    evidence = read_metadata(data)
    assert [(each.points_to, each.strength.value) for each in evidence] == [("synthetic", "strong")]


def test_capture_in_xmp_and_cameras_in_exif_are_weak():
    data = saved("JPEG", xmp=xmp(f'<rdf:Description x:DigitalSourceType="{TERM}digitalCapture"/>'))
    assert [(each.points_to, each.strength.value) for each in read_metadata(data)] == [("captured", "weak")]
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Canon", "Canon EOS R5"
    evidence = read_metadata(saved("JPEG", exif=exif))
    assert [(each.points_to, each.strength.value) for each in evidence] == [("captured", "weak")]
    assert "anyone can write that" in evidence[0].sentence


@pytest.mark.parametrize(
    ("code", "encoding"),
    [(b"UNICODE\0", "utf-16-be"), (b"UNICODE\0", "utf-16-le"), (b"ASCII\0\0\0", "ascii")],
)
def test_parameters_in_exif_comment(code, encoding):
    exif = Image.Exif()
    exif[0x0131] = "something"
    exif.get_ifd(0x8769)[0x9286] = code + A1111.encode(encoding)
    evidence = read_metadata(saved("JPEG", exif=exif))
    assert evidence[0].strength is Strength.STRONG and evidence[0].detail["Seed"] == "12"


def test_software_and_credit_that_name_a_generator():
    exif = Image.Exif()
    exif[0x0131] = "Midjourney 6"
    assert "Midjourney" in read_metadata(saved("JPEG", exif=exif))[0].sentence
    credit = xmp('<rdf:Description photoshop:Credit="Made with Google AI"/>')
    assert "Made with Google AI" in read_metadata(saved("WEBP", xmp=credit))[0].sentence


def test_broken_credential_is_seen(encoded):
    signed = sign_bytes(encoded("png")).data
    assert read_metadata(signed) == []
    at = signed.find(b"jumdc2pa") - 12
    cut = signed[:at] + b"\x7f" + signed[at + 1 :]
    evidence = read_metadata(cut)
    assert [(each.kind, each.strength.value, each.points_to) for each in evidence] == [
        ("file", "weak", "synthetic")
    ]


def test_text_bomb_is_bounded(passes):
    bomb = zlib.compress(b"a" * 200_000_000)
    body = b"parameters\0\0" + bomb
    chunk = len(body).to_bytes(4, "big") + b"zTXt" + body + zlib.crc32(b"zTXt" + body).to_bytes(4, "big")
    plain = saved("PNG")
    whole = plain[:33] + chunk * 3 + plain[33:]
    assert read_metadata(whole) == []
    assert passes(lambda: read_metadata(whole)) < 10  # unpacking one of the three takes about as long


def test_entities_in_xmp_are_not_expanded():
    packet = b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + xmp(
        "<Iptc4xmpExt:DigitalSourceType>&x;</Iptc4xmpExt:DigitalSourceType>"
    )
    assert read_metadata(saved("JPEG", xmp=packet)) == []


@pytest.mark.parametrize(
    "piece", ["DigitalSourceType ", "Steps: 1 ", 'Credit="', "<x:xmpmeta", "AIGC{", "a" * 50]
)
def test_no_pattern_runs_away(piece, passes):
    text = piece * (1_000_000 // len(piece))

    def read():
        read_metadata(saved("PNG") + b"<x:xmpmeta" + text.encode() + b"</x:xmpmeta>", "png")
        read_metadata(png(Description=text[:900_000]), "png")

    assert passes(read) < 100


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_mutated_files_raise_nothing(data):
    base = bytearray(
        data.draw(st.sampled_from([png(parameters=A1111, AIGC='{"Label":"1"}'), _EXIF_JPEG, _XMP_WEBP]))
    )
    for _ in range(data.draw(st.integers(1, 12))):
        base[data.draw(st.integers(0, len(base) - 1))] = data.draw(st.integers(0, 255))
    for format in (None, "png", "jpeg", "webp", "tiff", "avif", "gif"):
        for each in read_metadata(bytes(base), format):
            assert each.sentence.isprintable()


def _exif_jpeg() -> bytes:
    exif = Image.Exif()
    exif[0x010F], exif[0x0131] = "Canon", "Midjourney"
    exif.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0" + A1111.encode()
    return saved("JPEG", exif=exif)


_EXIF_JPEG = _exif_jpeg()
_XMP_WEBP = saved("WEBP", xmp=xmp(f'<rdf:Description x:DigitalSourceType="{TERM}trainedAlgorithmicMedia"/>'))
