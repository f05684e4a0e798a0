"""Carriers: every container's own place is read, and nothing else; words are not taken for structures."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from countermark.core.images import read_image
from countermark.core.results import Evidence
from countermark.provenance import source_types
from countermark.provenance.credentials import origin
from countermark.provenance.metadata.reading import read_metadata
from countermark.provenance.metadata.stealth import hidden_text

DST = "http://cv.iptc.org/newscodes/digitalsourcetype/"
A1111 = (
    "a red barn in fog\nNegative prompt: text\n"
    "Steps: 24, Sampler: DPM++ 2M, CFG scale: 6, Seed: 411, Size: 320x256, Model: someXL"
)
GRAPH = json.dumps(
    {
        "3": {"class_type": "KSampler", "inputs": {"seed": 411, "model": ["4", 0]}},
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "someXL.safetensors"}},
    }
)
FLOW = json.dumps({"nodes": [{"id": 3, "type": "KSampler"}], "links": []})
PICTURE = Image.fromarray(np.random.default_rng(5).integers(0, 255, (48, 64, 3), dtype=np.uint8))
XMP = (
    '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="">%s'
    '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)
TYPE = f"<Iptc4xmpExt:DigitalSourceType>{DST}trainedAlgorithmicMedia</Iptc4xmpExt:DigitalSourceType>"


def saved(format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    PICTURE.save(stream, format, **options)
    return stream.getvalue()


def xmp(inner: str) -> bytes:
    return (XMP % inner).encode()


def exif(**tags: Any) -> Image.Exif:
    numbers = {
        "make": 0x10F, "model": 0x110, "software": 0x131,
        "description": 0x10E, "artist": 0x13B, "copyright": 0x8298,
    }  # fmt: skip
    made = Image.Exif()
    for name, value in tags.items():
        if name == "user":
            made.get_ifd(0x8769)[0x9286] = value
        else:
            made[numbers[name]] = value
    return made


def png(*texts: tuple[str, str]) -> bytes:
    info = PngImagePlugin.PngInfo()
    for key, value in texts:
        info.add_text(key, value)
    return saved("PNG", pnginfo=info)


def with_chunks(*chunks: tuple[bytes, bytes]) -> bytes:
    data = saved("PNG")
    at = data.rindex(b"IEND") - 4
    added = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    return data[:at] + added + data[at:]


def iim(**fields: str) -> bytes:
    numbers = {"byline": 80, "credit": 110, "caption": 120, "headline": 105}
    body = b"".join(
        b"\x1c\x02" + bytes([numbers[name]]) + struct.pack(">H", len(value.encode())) + value.encode()
        for name, value in fields.items()
    )
    return b"8BIM\x04\x04\0\0" + struct.pack(">I", len(body)) + body + b"\0" * (len(body) % 2)


def with_iim(**fields: str) -> bytes:
    body = b"Photoshop 3.0\0" + iim(**fields)
    data = saved("JPEG", exif=exif(make="Canon", model="EOS R6"))
    return data[:2] + b"\xff\xed" + struct.pack(">H", len(body) + 2) + body + data[2:]


def declares(data: bytes) -> bool:
    return any(e.points_to == "synthetic" and e.strength == "strong" for e in read_metadata(data))


def user(encoding: str = "utf-16-be") -> Image.Exif:
    return exif(user=b"UNICODE\0" + A1111.encode(encoding), software="a tool")


def heif(**options: Any) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    return saved("HEIF", **options)


def bmff(kind: bytes, body: bytes, content: bytes = b"", method: int = 0) -> bytes:
    """A HEIC file of tables only: the item's name stands in ``iinf``, its bytes at the end or in ``idat``."""

    def box(name: bytes, inside: bytes) -> bytes:
        return struct.pack(">I", len(inside) + 8) + name + inside

    head = box(b"ftyp", b"heic\0\0\0\0mif1heic")
    infe = box(
        b"infe", b"\2\0\0\0" + struct.pack(">HH", 7, 0) + kind + b"\0" + content + b"\0" * bool(content)
    )
    iinf = box(b"iinf", b"\0\0\0\0" + struct.pack(">H", 1) + infe)
    inner = box(b"idat", body) if method else b""

    def meta(offset: int) -> bytes:
        iloc = b"\1\0\0\0\x44\0" + struct.pack(">HHHHHII", 1, 7, method, 0, 1, offset, len(body))
        return box(b"meta", b"\0\0\0\0" + iinf + box(b"iloc", iloc) + inner)

    if method:
        return head + meta(0)
    return head + meta(len(head) + len(meta(0))) + body


EXIF_ITEM = b"\0\0\0\6Exif\0\0" + user().tobytes().removeprefix(b"Exif\0\0")

A1111_EVERYWHERE: dict[str, Callable[[], bytes]] = {
    "jpeg utf-16-be": lambda: saved("JPEG", exif=user()),
    "jpeg utf-16-le": lambda: saved("JPEG", exif=user("utf-16-le")),
    "jpeg comment": lambda: saved("JPEG", comment=A1111.encode()),
    "webp": lambda: saved("WEBP", exif=user()),
    "avif": lambda: saved("AVIF", exif=user().tobytes()),
    "heic": lambda: heif(exif=user().tobytes()),
    "heic in file": lambda: bmff(b"Exif", EXIF_ITEM),
    "heic in idat": lambda: bmff(b"Exif", EXIF_ITEM, method=1),
    "gif": lambda: saved("GIF", comment=A1111.encode()),
    "gif long": lambda: saved("GIF", comment=(A1111 + " " * 600).encode()),
    "tiff exif": lambda: user().tobytes().removeprefix(b"Exif\0\0"),
    "tiff description": lambda: saved("TIFF", description=A1111),
    "png exif": lambda: saved("PNG", exif=user()),
    "png text": lambda: png(("parameters", A1111)),
    "png raw profile exif": lambda: png(_raw("exif", user().tobytes())),
    "xmp": lambda: saved("JPEG", xmp=xmp(f"<exif:UserComment>{A1111}</exif:UserComment>")),
}


def _raw(name: str, body: bytes) -> tuple[str, str]:
    return f"Raw profile type {name}", f"\n{name}\n{len(body):8}\n{body.hex()}\n"


@pytest.mark.parametrize("carrier", A1111_EVERYWHERE)
def test_parameters_are_read_in_every_container(carrier: str) -> None:
    found = read_metadata(A1111_EVERYWHERE[carrier]())
    assert found[0].strength == "strong" and found[0].detail["Seed"] == "411"


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "AVIF", "PNG", "HEIF"])
def test_cameras_are_read_in_every_container(format: str) -> None:
    made = exif(make="Apple", model="iPhone 16").tobytes()
    data = heif(exif=made) if format == "HEIF" else saved(format, exif=made)
    assert [e.points_to for e in read_metadata(data)] == ["captured"]


GENERATED: dict[str, Callable[[], bytes]] = {
    "ComfyUI in EXIF of WebP": lambda: saved(
        "WEBP", exif=exif(model=f"prompt:{GRAPH}", make=f"workflow:{FLOW}")
    ),
    "ComfyUI in animated PNG": lambda: with_chunks(
        (b"comf", b"prompt\0" + GRAPH.encode()), (b"comf", b"workflow\0" + FLOW.encode())
    ),
    "ComfyUI workflow alone": lambda: png(("workflow", FLOW)),
    "SwarmUI in parameters": lambda: png(("parameters", json.dumps({"sui_image_params": {"prompt": "x"}}))),
    "SwarmUI in UserComment": lambda: saved(
        "JPEG", exif=exif(user=b"UNICODE\0" + '{"sui_image_params": {"seed": 1}}'.encode("utf-16-le"))
    ),
    "Fooocus": lambda: png(("parameters", json.dumps({"prompt": "x", "version": "Fooocus v2.5.5"}))),
    "Easy Diffusion": lambda: png(
        ("prompt", "a red barn"), ("seed", "411"), ("num_inference_steps", "25"), ("sampler_name", "euler_a")
    ),
    "MFLUX comment": lambda: saved(
        "JPEG", exif=exif(user=b"ASCII\0\0\0" + json.dumps({"mflux_version": "0.11", "seed": 1}).encode())
    ),
    "MFLUX tool": lambda: saved("JPEG", xmp=xmp("<xmp:CreatorTool>MFLUX</xmp:CreatorTool>")),
    "MFLUX credit": lambda: saved("JPEG", xmp=xmp("<photoshop:Credit>Generated by MFLUX</photoshop:Credit>")),
    "Draw Things": lambda: saved("JPEG", xmp=xmp("<xmp:CreatorTool>Draw Things</xmp:CreatorTool>")),
    "Black Forest Labs": lambda: saved("JPEG", exif=exif(make="Black Forest Labs", model="FLUX.1-dev")),
    "xAI": lambda: saved(
        "JPEG",
        exif=exif(
            artist="4800156b-8880-4786-9056-7ca3da449d8c", description="Signature: " + "IoR6YcSlkWo/" * 20
        ),
    ),
    "Meta credit": lambda: with_iim(credit="Imagined with AI"),
    "Google credit, raw IPTC": lambda: png(_raw("iptc", iim(credit="Made with Google AI"))),
    "AI prompt": lambda: saved(
        "JPEG", xmp=xmp("<Iptc4xmpExt:AIPromptInformation>a red barn</Iptc4xmpExt:AIPromptInformation>")
    ),
    "AI prompt in a list": lambda: saved(
        "JPEG",
        xmp=xmp(
            '<Iptc4xmpExt:AIPromptInformation><rdf:Alt><rdf:li xml:lang="x-default">a barn</rdf:li></rdf:Alt>'
            "</Iptc4xmpExt:AIPromptInformation>"
        ),
    ),
    "AI system": lambda: saved("JPEG", xmp=xmp('<x Iptc4xmpExt:AISystemUsed="SomeModel"/>')),
    "XMP, raw profile": lambda: png(_raw("xmp", xmp(TYPE))),
    "XMP in tEXt": lambda: png(("XML:com.adobe.xmp", xmp(TYPE).decode())),
    "XMP in AVIF": lambda: saved("AVIF", xmp=xmp(TYPE)),
    "XMP in HEIC": lambda: bmff(b"mime", xmp(TYPE), b"application/rdf+xml"),
    "XMP in GIF": lambda: (
        saved("GIF")[:-1] + b"!\xff\x0bXMP DataXMP" + xmp(TYPE) + b"\1" + bytes(range(255, -1, -1)) + b"\0;"
    ),
    "XMP in TIFF": lambda: saved("TIFF", tiffinfo={700: xmp(TYPE)}),
    "XMP without its root": lambda: saved(
        "TIFF", tiffinfo={700: xmp(TYPE).replace(b'<x:xmpmeta xmlns:x="adobe:ns:meta/">', b"")}
    ),
    "AIGC, EXIF": lambda: saved(
        "JPEG", exif=exif(user=b"ASCII\0\0\0" + b'{"AIGC": {"Label": "1", "ContentProducer": "001"}}')
    ),
}


@pytest.mark.parametrize("case", GENERATED)
def test_what_only_a_generator_writes_declares(case: str) -> None:
    assert declares(GENERATED[case]())


CANON = exif(make="Canon", model="EOS R6")
PEOPLE: dict[str, Callable[[], bytes]] = {
    "observatory": lambda: saved(
        "JPEG",
        exif=CANON,
        xmp=xmp("<photoshop:Credit>International Gemini Observatory/NOIRLab</photoshop:Credit>"),
    ),
    "Spanish": lambda: saved("JPEG", exif=exif(artist="Ana Ruiz / Imagen y Sonido SL")),
    "copyright": lambda: saved("JPEG", exif=exif(copyright="Imagen cedida por el Ayuntamiento")),
    "handout": lambda: saved("JPEG", xmp=xmp("<photoshop:Credit>OpenAI/Handout</photoshop:Credit>")),
    "title": lambda: png(("Title", "OpenAI headquarters, Mission District, San Francisco")),
    "source": lambda: png(("Source", "NASA, Project Gemini flight film, 1965")),
    "headline": lambda: with_iim(headline="The head of Google AI speaks to reporters", byline="Ana Ruiz"),
    "caption": lambda: with_iim(caption="Astronomers at the Gemini telescope on Mauna Kea."),
    "exhibition": lambda: saved("JPEG", exif=exif(description="Visitors of a show about Stable Diffusion")),
    "person": lambda: saved("JPEG", exif=exif(artist="Grok Lindqvist")),
    "phone": lambda: saved("JPEG", exif=exif(make="Planet Computers", model="Gemini PDA")),
    "workflow of others": lambda: png(
        ("workflow", json.dumps({"name": "ETL", "nodes": [{"type": "cron"}], "connections": {}}))
    ),
    "parameters of others": lambda: png(("parameters", "exposure=1/200;iso=400;stack=12")),
    "solver": lambda: png(
        ("parameters", "Solver run: Steps: 200, dt: 0.01, Sampler: Latin hypercube, Seed: 7")
    ),
    "no system": lambda: saved("JPEG", xmp=xmp("<Iptc4xmpExt:AISystemUsed>None</Iptc4xmpExt:AISystemUsed>")),
    "keywords by AI": lambda: saved(
        "JPEG",
        xmp=xmp(
            f"<Iptc4xmpExt:DigitalSourceType>{DST}digitalCapture</Iptc4xmpExt:DigitalSourceType>"
            "<Iptc4xmpExt:AISystemUsed>KeywordBot 2</Iptc4xmpExt:AISystemUsed>"
        ),
    ),
    "hosted job": lambda: png(("hf-job-id", "ec8380a6-2091-423a-b835-209420f99ee1")),
}


@pytest.mark.parametrize("case", PEOPLE)
def test_a_word_is_no_declaration(case: str) -> None:
    found = read_metadata(PEOPLE[case]())
    assert not [e for e in found if e.points_to == "synthetic" and e.strength != "weak"]


def test_a_mention_says_that_it_is_one() -> None:
    (found,) = read_metadata(PEOPLE["source"]())
    assert found.strength == "weak" and "plain word" in found.sentence


def test_a_photograph_that_was_only_resized_is_edited_not_made() -> None:
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "IMG_2041.jpg"}},
        "2": {"class_type": "ImageScale", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "ImageUpscaleWithModel", "inputs": {"image": ["2", 0]}},
        "4": {"class_type": "SaveImage", "inputs": {"images": ["3", 0]}},
    }
    (found,) = read_metadata(png(("prompt", json.dumps(graph))))
    assert (found.points_to, found.strength) == (
        "neither",
        "weak",
    ) and "edited with it, not made" in found.sentence


@pytest.mark.parametrize("credit", ["Edited with Google AI", "Apple Photos Clean Up"])
def test_an_editors_line_says_edited(credit: str) -> None:
    (found,) = read_metadata(with_xmp(f"<photoshop:Credit>{credit}</photoshop:Credit>"))
    assert "edited with AI, not made by it" in found.sentence and found.detail["whole"] is False


def with_xmp(inner: str) -> bytes:
    return saved("JPEG", xmp=xmp(inner))


def test_what_follows_the_end_of_a_file_is_not_read() -> None:
    tail = b"\x00\x00\x00\x0etEXtprompt\x00" + GRAPH.encode() + xmp(TYPE)
    for format in ("JPEG", "PNG", "GIF", "WEBP", "BMP"):
        assert read_metadata(saved(format) + tail) == []


def test_prompts_in_the_transparency_are_read() -> None:
    for mark, body in (
        (b"stealth_pnginfo", A1111.encode()),
        (b"stealth_pngcomp", gzip.compress(A1111.encode())),
    ):
        bits = np.unpackbits(np.frombuffer(mark + struct.pack(">I", len(body) * 8) + body, np.uint8))
        alpha = np.full(64 * 96, 255, np.uint8)
        alpha[: bits.size] = 254 + bits
        alpha = alpha.reshape(96, 64).T
        assert hidden_text(alpha) == A1111
        stream = io.BytesIO()
        picture = np.dstack([np.full((64, 96, 3), 90, np.uint8), alpha])
        Image.fromarray(picture, "RGBA").save(stream, "PNG")
        image = read_image(stream.getvalue())
        assert image.alpha is not None
        assert [e.strength for e in read_metadata(image.data, alpha=image.alpha)] == ["strong"]
    assert hidden_text(np.full((64, 96), 255, np.uint8)) is None
    assert hidden_text(np.zeros((2, 2), np.uint8)) is None


# One vocabulary: every carrier of a digital source type says the same of every term.


def of_xmp_element(term: str) -> str:
    return _direction(
        with_xmp(
            f"<Iptc4xmpExt:DigitalSourceType>{source_types.expand(term)}</Iptc4xmpExt:DigitalSourceType>"
        )
    )


def of_xmp_attribute(term: str) -> str:
    return _direction(with_xmp(f'<x Iptc4xmpExt:DigitalSourceType="{source_types.expand(term)}"/>'))


def _direction(data: bytes) -> str:
    found: list[Evidence] = read_metadata(data)
    return found[0].points_to


def of_action(term: str, **more: Any) -> str:
    action = {"action": "c2pa.created", "digitalSourceType": source_types.expand(term), **more}
    manifest = {"assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}, "created": True}]}
    (found,) = origin.of_manifest({**manifest, "claim_version": 2})
    return found.points_to


def of_parameter(term: str) -> str:
    action = {
        "action": "c2pa.opened",
        "parameters": {"com.adobe.digitalSourceType": source_types.expand(term)},
    }
    data = {"label": "c2pa.actions.v2", "data": {"actions": [action]}, "created": True}
    (found,) = origin.of_manifest({"assertions": [data], "claim_version": 2})
    return found.points_to


@pytest.mark.parametrize("term", sorted(source_types.TERMS))
def test_one_term_has_one_meaning_in_every_carrier(term: str) -> None:
    expected = source_types.points_to(term)
    for carrier in (of_xmp_element, of_xmp_attribute, of_action, of_parameter):
        assert carrier(term) == expected, carrier.__name__
    assert source_types.words(term) and source_types.term_of(source_types.expand(term)) == term


def test_terms_that_were_read_in_two_ways() -> None:
    for term in ("algorithmicMedia", "virtualRecording", "compositeCapture"):
        assert source_types.points_to(term) == "neither"
