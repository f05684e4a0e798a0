"""Credentials of clips: signed, verified from the file, broken by a change, absent."""

from __future__ import annotations

from pathlib import Path

import pytest

from countermark.core.errors import ClipError, ProvenanceError
from countermark.core.results import VerificationState
from countermark.provenance.credentials.clips import C2PA_BOX, MAX_STORE, stored, verify_clip
from countermark.provenance.credentials.signing import sign_image


@pytest.fixture(scope="module")
def signed(make_clip, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    source = make_clip(folder / "a.mp4", count=4, sound=True)
    return Path(sign_image(source, folder / "signed.mp4", generator="maker/1").path)


def test_a_signed_clip_is_trusted_and_says_how_it_was_made(signed: Path) -> None:
    found = verify_clip(signed, digest=True)
    assert found.state is VerificationState.TRUSTED and found.matches
    assert found.digital_source_type == "trainedAlgorithmicMedia" and len(found.sha256 or "") == 64
    assert verify_clip(signed, trust=()).state is VerificationState.INTACT


def test_a_change_of_a_frame_breaks_it(signed: Path, tmp_path: Path) -> None:
    data = bytearray(signed.read_bytes())
    data[data.rindex(b"mdat") + 40] ^= 1
    path = tmp_path / "changed.mp4"
    path.write_bytes(data)
    found = verify_clip(path)
    assert found.state is VerificationState.INVALID
    assert "assertion.bmffHash.mismatch" in {each.code for each in found.problems}


def test_a_clip_without_one_is_absent(make_clip, tmp_path: Path) -> None:
    for name, codec in (("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.webm", "libvpx-vp9")):
        assert verify_clip(make_clip(tmp_path / name, count=2, codec=codec)).state is VerificationState.ABSENT


def test_matroska_has_its_credential_beside_it(make_clip, tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.webm", count=2, codec="libvpx-vp9")
    with pytest.raises(ProvenanceError) as caught:
        sign_image(source, tmp_path / "b.webm")
    assert caught.value.code == "credential.format" and ".mp4" in caught.value.hint
    sign_image(source, tmp_path / "b.webm", generator="maker/1", sidecar=True)
    assert verify_clip(tmp_path / "b.webm").state is VerificationState.TRUSTED
    assert (tmp_path / "b.webm").read_bytes() == source.read_bytes()


def test_stores_that_are_too_large_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    size = MAX_STORE + 100
    with open(path, "wb") as stream:
        stream.write(b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + size.to_bytes(4, "big") + b"uuid" + C2PA_BOX)
        stream.truncate(24 + size)
    with open(path, "rb") as stream:
        assert stored(stream) == (b"", True)
    found = verify_clip(path)
    assert found.state is VerificationState.INVALID and found.problems[0].code.endswith("bounds")


def test_what_is_no_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ClipError):
        verify_clip(tmp_path / "none.mp4")
