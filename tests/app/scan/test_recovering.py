"""Recovery is evidence in a scan: ``scan`` and ``verify`` agree on copies of what was signed here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from countermark.app.scan.run import scan
from countermark.app.sign import sign
from countermark.app.verify import verify
from countermark.core.images import read_image, write_image
from countermark.core.results import Strength, Verdict, VerificationState
from countermark.core.seeds import rng


class Paper:
    """A detector that finds nothing."""

    from types import SimpleNamespace

    name, card = "paper", SimpleNamespace(sha256="0" * 64)

    def score(self, images: list[np.ndarray]) -> np.ndarray:
        return np.full(len(images), 0.1)

    def thresholds(self, max_fpr: float = 0.01) -> object:
        return self.SimpleNamespace(likely=0.9, unsure=0.5, note="")


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    import cv2

    from countermark.provenance.repository import open_repository

    root = tmp_path_factory.mktemp("signed")
    chance = rng(3, "picture")
    layers = np.zeros((384, 512, 3), np.float32)
    for cells in (3, 7, 15, 40):
        grid = chance.normal(0, 1, (cells, cells + 2, 3)).astype(np.float32)
        layers += cv2.resize(grid, (512, 384), interpolation=cv2.INTER_CUBIC) * (90 / cells**0.5)
    made = write_image(root / "made.png", np.clip(128 + layers, 0, 255).astype(np.uint8))
    repository = f"sqlite:///{root / 'records.db'}"
    with open_repository(repository) as place:
        # Without the mark: it is the looks alone that lead back to the record.
        sign(made, root / "signed.png", generator="test/1", watermark=False, repository=place)
    pixels = read_image(root / "signed.png").pixels
    copy = write_image(root / "copy.jpg", pixels)
    other = write_image(root / "other.png", pixels[::-1, ::-1, ::-1])
    return {"root": root, "repository": repository, "copy": copy, "other": other}  # type: ignore[dict-item]


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERMARK_HOME", str(tmp_path_factory.getbasetemp() / "recovering-home"))


def test_scan_and_verify_agree(signed: dict[str, Path]) -> None:
    from countermark.provenance.repository import open_repository

    with open_repository(str(signed["repository"])) as place:
        for name in ("copy", "other"):
            (result,) = scan(signed[name], detector=Paper(), marks=False, repository=place)
            found = verify(signed[name], repository=place)
            recovered = [e for e in result.evidence if e.kind == "recovery"]
            assert bool(recovered) == (found.state is VerificationState.RECOVERED) == (name == "copy")
            if recovered:
                assert result.verdict is Verdict.DECLARED_SYNTHETIC
                assert result.evidence[0] is recovered[0] or result.evidence[0] == recovered[0]
                assert recovered[0].strength is Strength.STRONG and found.summary in recovered[0].sentence
            else:
                assert result.verdict is Verdict.NO_EVIDENCE
        (alone,) = scan(signed["copy"], detector=Paper(), marks=False, repository=place, recover=False)
        assert alone.verdict is Verdict.NO_EVIDENCE


def test_what_a_camera_took_is_not_declared_captured_by_a_copy() -> None:
    from countermark.app.recovery import recovery_evidence
    from countermark.app.scan.verdict import declared
    from countermark.core.results import Verification

    found = Verification(
        "a", VerificationState.RECOVERED, digital_source_type="digitalCapture", summary="Found."
    )
    (evidence,) = recovery_evidence(found)
    assert evidence.points_to == "neither" and declared([evidence]) is None
    assert recovery_evidence(Verification("a", VerificationState.ABSENT)) == []
