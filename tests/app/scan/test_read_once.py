"""A file is read once, within the given bounds: hash, picture and credential are of the same bytes."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import countermark as cm
from countermark.app.scan.gather import gather
from countermark.core.errors import ImageError
from countermark.core.files import sha256_bytes
from countermark.core.images import Limits, encode_image
from countermark.core.results import VerificationState


@pytest.fixture
def signed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COUNTERMARK_HOME", str(tmp_path / "home"))
    source = tmp_path / "made.png"
    pixels = np.random.default_rng(1).integers(0, 255, (96, 128, 3), dtype=np.uint8)
    source.write_bytes(encode_image(pixels, "png"))
    cm.sign(source, tmp_path / "signed.png", watermark=False, record=False)
    return tmp_path / "signed.png"


_listening: list[list[str]] = []


def _hear(event: str, arguments: tuple[object, ...]) -> None:
    """Hooks cannot be taken away again; this one is deaf while nobody listens."""
    if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
        for names in _listening:
            names.append(os.fsdecode(arguments[0]))


sys.addaudithook(_hear)


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """Every path that is opened, by whatever call."""
    names: list[str] = []
    _listening.append(names)
    yield names
    _listening.remove(names)


def test_scan_reads_a_file_once(signed: Path, opened: list[str]) -> None:
    gathered = gather(str(signed), marks=False)
    assert opened.count(str(signed)) == 1
    assert gathered.image.sha256 == sha256_bytes(gathered.image.data)
    assert gathered.verification is not None and gathered.verification.state is VerificationState.TRUSTED


def test_verify_reads_a_file_once(signed: Path, opened: list[str]) -> None:
    data = bytearray(signed.read_bytes())
    data[data.find(b"IDAT") + 60] ^= 1
    signed.write_bytes(data)
    opened.clear()
    assert cm.verify(signed).state is VerificationState.INVALID  # and it looked for a mark
    assert opened.count(str(signed)) == 2  # its first bytes say whether it is a clip; then all, once


def test_sign_reads_a_file_once(signed: Path, opened: list[str], tmp_path: Path) -> None:
    cm.sign(signed, tmp_path / "again.png")
    assert opened.count(str(signed)) == 2  # its first bytes say whether it is a clip; then all, once


def test_verdict_score_and_digest_are_of_the_same_bytes(
    signed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file becomes another one as soon as it was read."""
    import countermark.core.images as images

    first = signed.read_bytes()
    other = encode_image(np.full((96, 128, 3), 250, np.uint8), "png")
    real = images.open_regular

    def swapped(path: Path | str) -> object:
        with real(path) as stream:
            data = stream.read()
        Path(path).write_bytes(other)
        return io.BytesIO(data)

    monkeypatch.setattr(images, "open_regular", swapped)
    (result,) = cm.scan(signed, detector=_Brightness())
    assert signed.read_bytes() == other and result.sha256 == sha256_bytes(first)
    assert result.score is not None and abs(result.score - 0.5) < 0.05, "the noise, not the bright one"
    assert result.verdict == "declared-synthetic", "by the first one's credential"
    signed.write_bytes(first)
    found = cm.verify(signed, digest=True)
    assert found.state is VerificationState.TRUSTED and found.sha256 == sha256_bytes(first)


@pytest.mark.parametrize("call", [cm.verify, cm.scan, cm.sign])
def test_a_small_limit_holds_everywhere(signed: Path, call: Callable[..., object], tmp_path: Path) -> None:
    limits = Limits(max_bytes=1000)
    if call is cm.scan:
        (result,) = cm.scan(signed, limits=limits, detector=_Unasked())
        assert result.error is not None and result.error.code == "image.too-large"
        return
    more = (tmp_path / "out.png",) if call is cm.sign else ()
    with pytest.raises(ImageError) as caught:
        call(signed, *more, limits=limits)
    assert caught.value.code == "image.too-large"
    assert not (tmp_path / "out.png").exists()


def test_a_large_limit_holds_everywhere(
    signed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever allows more bytes than the default gets them read by every part."""
    import countermark.core.images as images

    small = Limits(max_bytes=1000)
    for module in (
        "countermark.provenance.credentials.verification",
        "countermark.provenance.credentials.signing",
        "countermark.provenance.credentials.ingredients",
    ):
        original = __import__(module, fromlist=["read_bytes"]).read_bytes
        monkeypatch.setattr(
            f"{module}.read_bytes",
            lambda path, limits=small, read=original: read(path, limits),
        )
    monkeypatch.setattr(images.read_bytes, "__defaults__", (small,))
    large = Limits()
    assert gather(str(signed), limits=large, marks=False).verification is not None
    assert cm.verify(signed, limits=large).state is VerificationState.TRUSTED
    parent = tmp_path / "made.png"
    made = cm.sign(
        signed, tmp_path / "child.png", parents=[parent], limits=large, watermark=False, record=False
    )
    assert Path(made.path).exists()


class _Unasked:
    """A detector that no readable picture reaches."""

    name = "unasked"
    card = None

    def score(self, images: object) -> np.ndarray:
        raise AssertionError("nothing can be read")

    def thresholds(self, max_fpr: float = 0.01) -> object:
        return type("Bounds", (), {"likely": 0.5, "unsure": 0.3, "note": ""})()


class _Brightness(_Unasked):
    """A detector whose score is how bright a picture is."""

    name = "brightness"

    def score(self, images: list[np.ndarray]) -> np.ndarray:
        return np.array([float(image.mean()) / 255 for image in images])


@pytest.mark.parametrize("wrong", ["sead", "watermarks", "promt"])
def test_unknown_arguments_are_refused_before_anything_is_done(
    signed: Path, tmp_path: Path, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from countermark.app import sign as module
    from countermark.app.pipelines import sign_outputs
    from countermark.provenance.credentials.folders import sign_folder, watch_folder
    from countermark.provenance.credentials.hook import sign_outputs as bare
    from countermark.provenance.credentials.signing import sign_image

    monkeypatch.setattr(module, "read_bytes", lambda *_: pytest.fail("the picture was read"))
    out = tmp_path / "out"
    calls: list[Callable[[], object]] = [
        lambda: cm.sign(signed, out / "a.png", **{wrong: 7}),  # type: ignore[arg-type]
        lambda: sign_image(signed, out / "a.png", **{wrong: 7}),  # type: ignore[arg-type]
        lambda: sign_folder(tmp_path, out, **{wrong: 7}),  # type: ignore[arg-type]
        lambda: watch_folder(tmp_path, out, **{wrong: 7}),  # type: ignore[arg-type]
        lambda: sign_outputs(lambda: [], out, **{wrong: 7}),
        lambda: bare(lambda: [], out, **{wrong: 7}),
    ]
    for call in calls:
        with pytest.raises(TypeError, match=f"unexpected keyword argument '{wrong}'"):
            call()
    assert not out.exists()
