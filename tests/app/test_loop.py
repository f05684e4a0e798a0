"""Sign → verify → launder → recover, on real credentials, marks and a real repository."""

from __future__ import annotations

import numpy as np
import pytest

from countermark.app.generate import generate
from countermark.app.laundering import change_one_pixel, launder
from countermark.app.scan.run import scan
from countermark.app.sign import sign
from countermark.app.verify import verify
from countermark.core.corpus import read_corpus
from countermark.core.errors import ImageError, OutputError, UnknownNameError
from countermark.core.files import sha256_file
from countermark.core.images import encode_image, read_image, write_image
from countermark.core.perturb import perturb
from countermark.core.results import Verdict
from countermark.provenance.repository import open_repository


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    from sklearn.datasets import load_sample_image

    return np.ascontiguousarray(load_sample_image("china.jpg"))


@pytest.fixture
def repository(tmp_path):
    with open_repository(f"sqlite:///{tmp_path / 'manifests.db'}") as opened:
        yield opened


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_what_is_signed_is_trusted_marked_and_recorded(tmp_path, repository, picture, suffix) -> None:
    source = write_image(tmp_path / f"made{suffix}", picture)
    before = source.read_bytes()
    signed = sign(source, tmp_path / f"signed{suffix}", generator="test/1", seed=7, repository=repository)
    assert source.read_bytes() == before
    assert signed.sha256 == sha256_file(signed.path) and signed.payload and signed.recorded
    assert signed.psnr is not None and signed.psnr > 36
    found = verify(signed.path, repository=repository)
    assert found.state == "trusted" and found.digital_source_type == "trainedAlgorithmicMedia"
    assert repository.by_payload(bytes.fromhex(signed.payload))[0].manifest_id == signed.manifest_id


def test_laundered_copies_are_recovered_and_tampering_is_named(tmp_path, repository, picture) -> None:
    source = write_image(tmp_path / "made.png", picture)
    signed = sign(source, tmp_path / "signed.png", generator="test/1", repository=repository)
    for copy in launder(tmp_path / "signed.png", tmp_path / "copies"):
        found = verify(copy, repository=repository)
        if copy.stem.endswith("tampered"):
            assert found.state == "invalid"
            assert "assertion.dataHash.mismatch" in [p.code for p in found.problems]
        else:
            assert found.state == "recovered", copy.name
            assert found.mark is not None and found.mark.payload == signed.payload
            assert found.digital_source_type == "trainedAlgorithmicMedia"
            assert [link.state for link in found.chain] == ["recovered"]
        unrecovered = verify(copy, recover=False).state
        assert unrecovered == ("invalid" if copy.stem.endswith("tampered") else "absent")


def test_a_strangers_signature_is_intact_with_the_reason(tmp_path, repository, picture, monkeypatch) -> None:
    source = write_image(tmp_path / "made.png", picture)
    monkeypatch.setenv("COUNTERMARK_HOME", str(tmp_path / "stranger"))
    sign(source, tmp_path / "signed.png", repository=repository)
    monkeypatch.setenv("COUNTERMARK_HOME", str(tmp_path / "me"))
    found = verify(tmp_path / "signed.png", repository=repository)
    assert found.state == "intact"
    assert "signingCredential.untrusted" in [p.code for p in found.problems]


def test_a_copied_mark_is_caught(tmp_path, repository, picture) -> None:
    from countermark.provenance import watermark

    source = write_image(tmp_path / "made.png", picture)
    signed = sign(source, tmp_path / "signed.png", repository=repository)
    other = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    forged = watermark.embed(perturb("resize:8+resize:2", other), bytes.fromhex(signed.payload))
    found = verify(write_image(tmp_path / "forged.png", forged), repository=repository)
    assert found.state == "absent"
    assert "recovery.mark-mismatch" in [p.code for p in found.problems]


def test_signing_never_overwrites_and_leaves_nothing_behind(tmp_path, picture) -> None:
    source = write_image(tmp_path / "made.png", picture)
    for target in (source, tmp_path / "there.png"):
        target.touch()
        with pytest.raises(OutputError):
            sign(source, target)
    (tmp_path / "there.png").unlink()
    with pytest.raises(OutputError):
        sign(source, tmp_path / "out.bmp")
    broken = tmp_path / "broken.png"
    broken.write_bytes(source.read_bytes()[:500])
    with pytest.raises(ImageError):
        sign(broken, tmp_path / "out.png")
    with pytest.raises(UnknownNameError):
        sign(source, tmp_path / "out.png", identity="nobody")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["broken.png", "made.png"]


def test_alpha_survives_marking(tmp_path, picture, repository) -> None:
    from PIL import Image

    image = Image.fromarray(picture)
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    image.save(tmp_path / "alpha.png")
    sign(tmp_path / "alpha.png", tmp_path / "signed.png", repository=repository)
    with Image.open(tmp_path / "signed.png") as result:
        assert result.mode == "RGBA"
        assert np.array_equal(np.asarray(result)[..., 3], np.asarray(image)[..., 3])


def test_a_signed_photo_signed_again_is_not_declared_generated(tmp_path, picture, repository) -> None:
    source = write_image(tmp_path / "photo.jpg", picture)
    sign(
        source,
        tmp_path / "captured.jpg",
        digital_source_type="digitalCapture",
        watermark=False,
        repository=repository,
    )
    again = sign(tmp_path / "captured.jpg", tmp_path / "again.jpg", repository=repository)
    assert again.payload is None and "Not marked" in again.notes[0]
    assert verify(again.path, repository=repository).digital_source_type != "trainedAlgorithmicMedia"


def test_too_small_images_are_signed_without_a_mark(tmp_path, repository) -> None:
    source = write_image(tmp_path / "tiny.png", np.full((40, 40, 3), 90, np.uint8))
    signed = sign(source, tmp_path / "signed.png", repository=repository)
    assert signed.payload is None and signed.notes[0].startswith("Not marked")
    assert verify(signed.path, repository=repository).state == "trusted"


def test_generated_and_signed_corpora(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("COUNTERMARK_HOME", str(tmp_path / "home"))
    corpus = generate("digits-32", 3, out=tmp_path / "made", seed=5, condition="3", sign=True, scale=8)
    again = read_corpus(tmp_path / "made")
    assert [row.sha256 for row in again.rows] == [sha256_file(path) for path in corpus.paths]
    assert all(row.label == "synthetic" and row.extra["manifest_id"] for row in again.rows)
    assert read_image(corpus.paths[0]).width == 256
    (result,) = scan(corpus.paths[0], detector=_Never())
    assert result.verdict is Verdict.DECLARED_SYNTHETIC
    with pytest.raises(OutputError):
        generate("digits-32", 1, out=tmp_path / "made", sign=True)
    with pytest.raises(UnknownNameError, match="digits-32"):
        generate("digits-33", 1, out=tmp_path / "other")


def test_one_changed_pixel_changes_one_sample(picture) -> None:
    data = encode_image(picture, "png")
    changed = read_image(change_one_pixel(data)).pixels
    assert np.count_nonzero(changed != picture) >= 1
    assert np.abs(changed.astype(int) - picture).max() <= 255
    with pytest.raises(ImageError):
        change_one_pixel(b"GIF89a")


class _Never:
    name = "never"
    card = None

    def score(self, images):
        return np.zeros(len(images))

    def thresholds(self, max_fpr: float = 0.01):
        from types import SimpleNamespace

        return SimpleNamespace(likely=0.9, unsure=0.5, note="")
