"""Signing: what is written, what is kept, what is refused."""

from __future__ import annotations

import io
import json
from pathlib import Path

import c2pa
import pytest

from countermark.core.errors import ImageError, OutputError, ProvenanceError
from countermark.core.files import sha256_bytes
from countermark.core.results import VerificationState
from countermark.provenance.credentials import signing
from countermark.provenance.credentials.contexts import MIME
from countermark.provenance.credentials.signing import Ingredient, sidecar_path, sign_bytes, sign_image
from countermark.provenance.credentials.softbinding import SoftBinding
from countermark.provenance.credentials.verification import verify_image
from countermark.provenance.identities.store import get_identity
from countermark.provenance.identities.trust import default_trust


def assertion(verification, label):
    return next(each["data"] for each in verification.manifest["assertions"] if each["label"] == label)


@pytest.mark.parametrize("format", ["png", "jpeg", "webp", "tiff", "gif", "avif"])
def test_signed_image_is_trusted_by_us_and_by_the_plain_reader(encoded, format):
    signed = sign_bytes(encoded(format), title="made", generator="my-model/1")
    result = verify_image(signed.data)
    assert result.state is VerificationState.TRUSTED
    assert result.manifest["label"] == signed.manifest_id
    settings = {"trust": {"trust_anchors": default_trust().anchors_pem}}
    with (
        c2pa.Context.from_dict(settings) as context,
        c2pa.Reader(MIME[format], io.BytesIO(signed.data), context=context) as reader,
    ):
        assert reader.get_validation_state() == "Trusted"


def test_manifest_says_what_was_given(encoded):
    digest = "ab" * 32
    signed = sign_bytes(
        encoded("png"),
        generator="my-model/1.2",
        model={"name": "my-model", "version": "1.2", "sha256": digest},
        seed=42,
        prompt="a lighthouse",
        parameters={"steps": 20},
        soft_bindings=[SoftBinding("org.countermark.tile.1", b"12345678")],
        actions=["c2pa.resized"],
    )
    result = verify_image(signed.data)
    actions = assertion(result, "c2pa.actions.v2")["actions"]
    assert [each["action"] for each in actions] == ["c2pa.created", "c2pa.resized", "c2pa.watermarked.bound"]
    assert actions[0]["digitalSourceType"].endswith("/trainedAlgorithmicMedia")
    assert actions[0]["softwareAgent"] == {"name": "my-model", "version": "1.2"}
    assert assertion(result, "org.countermark.model")["sha256"] == digest
    assert assertion(result, "org.countermark.prompt") == {"steps": 20, "prompt": "a lighthouse", "seed": 42}
    entries = assertion(result, "cawg.training-mining")["entries"]
    assert entries["cawg.ai_generative_training"] == entries["cawg.data_mining"] == {"use": "notAllowed"}
    assert assertion(result, "c2pa.actions.v2")["allActionsIncluded"] is True
    assert result.digital_source_type == "trainedAlgorithmicMedia"


def test_file_is_written_once_and_whole(encoded, tmp_path: Path):
    source, destination = tmp_path / "a.png", tmp_path / "out" / "b.png"
    source.write_bytes(encoded("png"))
    result = sign_image(source, destination, identity="default", generator="my-model/1")
    assert result.sha256 == sha256_bytes(destination.read_bytes())
    assert source.read_bytes() == encoded("png")
    assert [each.name for each in destination.parent.iterdir()] == ["b.png"]
    with pytest.raises(OutputError) as caught:
        sign_image(source, destination)
    assert caught.value.code == "output.exists"
    with pytest.raises(OutputError):
        sign_image(source, source)
    assert source.read_bytes() == encoded("png")


def test_nothing_is_left_behind_when_signing_fails(encoded, tmp_path: Path):
    source, folder = tmp_path / "a.png", tmp_path / "out"
    source.write_bytes(encoded("png"))
    folder.mkdir()
    with pytest.raises(ProvenanceError):
        sign_image(source, folder / "b.png", digital_source_type="banana")
    with pytest.raises(OutputError) as caught:
        sign_image(source, folder / "b.jpg")
    assert caught.value.code == "output.format"
    with pytest.raises(ImageError):
        sign_image(tmp_path / "missing.png", folder / "b.png")
    assert list(folder.iterdir()) == []


def test_given_pixels_are_signed_instead_of_the_source(encoded, tmp_path: Path):
    source = tmp_path / "a.png"
    source.write_bytes(b"not an image, and not looked at")
    result = sign_image(source, tmp_path / "b.jpg", data=encoded("jpeg"))
    assert verify_image(result.path).state is VerificationState.TRUSTED


def test_unsupported_format_is_named(encoded):
    with pytest.raises(ProvenanceError) as caught:
        sign_bytes(encoded("bmp"))
    assert caught.value.code == "credential.format"


def test_single_parent_is_opened_and_components_are_placed(encoded):
    result = verify_image(sign_bytes(encoded("png"), parents=[encoded("jpeg")]).data)
    actions = assertion(result, "c2pa.actions.v2")["actions"]
    assert actions[0]["action"] == "c2pa.opened"
    assert result.manifest["ingredients"][0]["relationship"] == "parentOf"
    result = verify_image(sign_bytes(encoded("png"), parents=[encoded("jpeg"), encoded("webp")]).data)
    actions = assertion(result, "c2pa.actions.v2")["actions"]
    assert [each["action"] for each in actions] == ["c2pa.created", "c2pa.placed", "c2pa.placed"]
    assert result.state is VerificationState.TRUSTED


@pytest.mark.parametrize("first", ["c2pa.created", "c2pa.opened"])
def test_inputs_of_a_model_belong_to_its_action_and_components_are_placed(encoded, first):
    parents = [Ingredient(encoded("jpeg"), "inputTo"), Ingredient(encoded("webp"), "inputTo")]
    parents.append(Ingredient(encoded("png"), "componentOf"))
    if first == "c2pa.opened":
        parents.append(Ingredient(encoded("png"), "parentOf"))
    result = verify_image(sign_bytes(encoded("png"), parents=parents).data)
    assert result.state is VerificationState.TRUSTED and not result.problems
    actions = assertion(result, "c2pa.actions.v2")["actions"]
    acted = ["c2pa.created"] if first == "c2pa.created" else ["c2pa.opened", "c2pa.edited"]
    assert [each["action"] for each in actions] == [*acted, "c2pa.placed"]
    assert len(actions[-2]["parameters"]["ingredients"]) == 2
    assert len(actions[-1]["parameters"]["ingredients"]) == 1


def test_two_parents_are_refused(encoded):
    parent = Ingredient(encoded("jpeg"), "parentOf")
    with pytest.raises(ProvenanceError) as caught:
        sign_bytes(encoded("png"), parents=[parent, parent])
    assert caught.value.code == "ingredient.parents"


def test_sidecar_leaves_the_image_alone(encoded, tmp_path: Path):
    source = tmp_path / "a.png"
    source.write_bytes(encoded("png"))
    result = sign_image(source, tmp_path / "b.png", sidecar=True)
    assert Path(result.path).read_bytes() == encoded("png")
    assert verify_image(result.path).state is VerificationState.TRUSTED
    Path(result.path).write_bytes(encoded("png")[:-12] + encoded("png")[-12:][::-1])
    assert verify_image(result.path).state is VerificationState.INVALID


def test_first_actions_and_malformed_ones_are_refused(encoded):
    for action in ("c2pa.created", "c2pa.opened", "nonsense", {"no": "action"}):
        with pytest.raises(ProvenanceError) as caught:
            sign_bytes(encoded("png"), actions=[action])
        assert caught.value.code == "action.malformed"


def test_identity_may_be_an_object(encoded):
    assert sign_bytes(encoded("png"), identity=get_identity()).identity == "default"


def test_results_are_json(encoded, tmp_path: Path):
    import dataclasses

    source = tmp_path / "a.png"
    source.write_bytes(encoded("png"))
    result = sign_image(source, tmp_path / "b.png")
    json.dumps(dataclasses.asdict(result))
    json.dumps(dataclasses.asdict(verify_image(result.path)))


def test_thumbnail_edge_is_never_enlarged(encoded):
    assert signing._thumbnail_edge(encoded("png"), 1024) == 128
    assert signing._thumbnail_edge(encoded("png"), 64) == 64
    assert signing._thumbnail_edge(encoded("png"), 0) == 0


PDF = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
    b"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>endobj\nxref\n0 4\n0000000000 65535 f \n"
    b"0000000009 00000 n \n0000000053 00000 n \n0000000103 00000 n \n"
    b"trailer<</Size 4/Root 1 0 R>>\nstartxref\n164\n%%EOF\n"
)
WAV = (
    b"RIFF\x88\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0data\x64\0\0\0"
    + bytes(100)
)


def box(kind: bytes, content: bytes) -> bytes:
    """One box of an ISO base media file."""
    return (8 + len(content)).to_bytes(4, "big") + kind + content


def film(brand: bytes) -> bytes:
    """The least that counts as MP4, M4A or MOV."""
    header = box(b"moov", box(b"mvhd", bytes(100)))
    return box(b"ftyp", brand + b"\0\0\2\0" + brand) + header + box(b"mdat", bytes(64))


MP3 = b"ID3\x04\0\0\0\0\0\0" + (b"\xff\xfb\x90\x64" + bytes(413)) * 4
AVI = b"RIFF\x50\0\0\0AVI LIST\x3c\0\0\0hdrlavih\x38\0\0\0" + bytes(56) + b"LIST\x04\0\0\0movi"
FLAC = b"fLaC\x80\0\0\x22\x10\0\x10\0" + bytes(6) + b"\x0a\xc4\x40\xf0" + bytes(20)
JXL = b"\0\0\0\x0cJXL \r\n\x87\n" + box(b"ftyp", b"jxl \0\0\0\0jxl ") + box(b"jxlc", b"\xff\x0a" + bytes(20))
CARRIERS = {"pdf": PDF, "wav": WAV, "mp3": MP3, "avi": AVI, "flac": FLAC, "jxl": JXL}
CARRIERS |= {"mp4": film(b"isom"), "m4a": film(b"M4A "), "mov": film(b"qt  ")}


@pytest.mark.parametrize("data", CARRIERS.values(), ids=list(CARRIERS))
@pytest.mark.parametrize("bindings", [(), (SoftBinding("org.countermark.tile.1", b"12345678"),)])
def test_other_carriers(data, bindings):
    signed = sign_bytes(data, soft_bindings=bindings)
    assert verify_image(signed.data).state is VerificationState.TRUSTED
    assert verify_image(sign_bytes(signed.data).data).state is VerificationState.TRUSTED


@pytest.mark.parametrize("format", ["png", "jpeg", "webp", "tiff", "gif", "avif"])
def test_every_image_format_may_have_a_sidecar(encoded, format, tmp_path: Path):
    source = tmp_path / f"made.{format}"
    source.write_bytes(encoded(format))
    binding = SoftBinding("org.countermark.tile.1", b"12345678")
    signed = sign_image(source, tmp_path / "out" / source.name, sidecar=True, soft_bindings=[binding])
    assert Path(signed.path).read_bytes() == source.read_bytes()
    assert sidecar_path(signed.path).is_file()
    assert verify_image(signed.path).state is VerificationState.TRUSTED
    Path(signed.path).write_bytes(source.read_bytes()[:-1] + b"\x7f")
    assert verify_image(signed.path).state is VerificationState.INVALID


def test_heic(pixels):
    heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    from PIL import Image

    heif.register_heif_opener()
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "HEIF")
    signed = sign_bytes(stream.getvalue(), soft_bindings=[SoftBinding("org.countermark.tile.1", b"12345678")])
    assert verify_image(signed.data).state is VerificationState.TRUSTED
