"""Recovery: found after handling, never for other pictures, and copied marks are named."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import pytest

from countermark.core.perturb import perturb
from countermark.core.results import Problem
from countermark.core.seeds import rng
from countermark.provenance.repository import Repository, open_repository, record_for
from countermark.provenance.repository.recovery import recover


@dataclass(frozen=True)
class Reading:
    payload: bytes | None
    p_value: float = 1e-12


def picture(seed: int, height: int = 192, width: int = 256) -> np.ndarray:
    """A synthetic picture with structure at several scales."""
    draw = rng(seed, "picture")
    layers = np.zeros((height, width, 3), np.float32)
    for cells in (3, 6, 12, 24):
        grid = draw.normal(0, 1, (cells, cells + 1, 3)).astype(np.float32)
        layers += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) * (60 / cells**0.5)
    return np.clip(128 + layers, 0, 255).astype(np.uint8)


SIGNED = 12


@pytest.fixture(scope="module")
def repository() -> Repository:
    repository = open_repository("sqlite://")
    for k in range(SIGNED):
        repository.add(
            record_for(
                picture(k),
                manifest_id=f"urn:c2pa:{k}",
                store=b"jumbf",
                sha256=f"{k:064x}",
                payload=bytes([k]) * 8,
                signer="default",
            )
        )
    return repository


@pytest.mark.parametrize(
    "spec, method",
    [
        ("none", "fingerprint"),
        ("jpeg:50", "fingerprint"),
        ("resize:0.5", "fingerprint"),
        ("screenshot", "fingerprint"),
        ("crop:0.75", "region"),
        ("crop:0.75+jpeg:50", "region"),
    ],
)
def test_found_by_its_looks_alone(repository: Repository, spec: str, method: str) -> None:
    for k in range(SIGNED):
        found = recover(perturb(spec, picture(k), rng(k, spec)), repository)
        assert found is not None and found.record.manifest_id == f"urn:c2pa:{k}"
        assert found.method == method and found.similarity > 60


@pytest.mark.parametrize("spec", ["none", "crop:0.4", "flip", "rotate:90", "rotate:4", "resize:0.5+flip"])
def test_found_by_its_mark_and_confirmed(repository: Repository, spec: str) -> None:
    problems: list[Problem] = []
    copy = perturb(spec, picture(3), rng(3, spec))
    found = recover(copy, repository, reading=Reading(bytes([3]) * 8), problems=problems)
    assert found is not None and found.method == "mark" and found.record.manifest_id == "urn:c2pa:3"
    assert problems == []
    assert "by its watermark" in found.sentence and "does not mean" in found.meaning


def test_other_pictures_are_not_found(repository: Repository) -> None:
    for k in range(1000, 1040):
        assert recover(picture(k), repository) is None


def test_flat_pictures_are_not_found(repository: Repository) -> None:
    flat = np.full((128, 128, 3), 200, np.uint8)
    repository = open_repository("sqlite://")
    repository.add(record_for(flat, manifest_id="urn:flat", store=b"x", sha256="0" * 64))
    assert recover(np.full((100, 100, 3), 60, np.uint8), repository) is None


def test_a_copied_mark_is_reported_and_recovers_nothing(repository: Repository) -> None:
    problems: list[Problem] = []
    assert recover(picture(2000), repository, reading=Reading(bytes([3]) * 8), problems=problems) is None
    (problem,) = problems
    assert problem.code == "recovery.mark-mismatch" and problem.severity == "failure"
    assert "urn:c2pa:3" in problem.sentence


def test_a_copied_mark_on_a_known_picture_names_both(repository: Repository) -> None:
    problems: list[Problem] = []
    found = recover(picture(5), repository, reading=Reading(bytes([3]) * 8), problems=problems)
    assert found is not None and found.record.manifest_id == "urn:c2pa:5" and found.method == "fingerprint"
    assert [p.code for p in problems] == ["recovery.mark-mismatch"]


def test_an_unknown_mark_is_a_notice(repository: Repository) -> None:
    problems: list[Problem] = []
    assert recover(picture(2001), repository, reading=Reading(b"\xee" * 8), problems=problems) is None
    assert [(p.code, p.severity) for p in problems] == [("recovery.mark-unknown", "notice")]


def test_no_mark_is_no_problem(repository: Repository) -> None:
    problems: list[Problem] = []
    assert recover(picture(2002), repository, reading=Reading(None, 0.4), problems=problems) is None
    assert problems == []


def test_records_without_a_sketch_are_checked_by_their_fingerprint() -> None:
    repository = open_repository("sqlite://")
    record = record_for(
        picture(1), manifest_id="urn:1", store=b"x", sha256="0" * 64, payload=b"8 bytes!", sketch=False
    )
    repository.add(record)
    mark = Reading(b"8 bytes!")
    assert recover(perturb("jpeg:50", picture(1)), repository) is not None
    assert recover(perturb("jpeg:50", picture(1)), repository, reading=mark) is not None
    problems: list[Problem] = []
    assert recover(picture(2), repository, reading=mark, problems=problems) is None
    assert problems[0].code == "recovery.mark-mismatch"


def test_a_record_with_nothing_to_check_against_is_not_believed() -> None:
    repository = open_repository("sqlite://")
    record = record_for(picture(1), manifest_id="urn:1", store=b"x", sha256="0" * 64, payload=b"8 bytes!")
    repository.add(replace(record, fingerprint=None, regions=None, sketch=None))
    assert recover(picture(1), repository, reading=Reading(b"8 bytes!")) is None


def test_of_several_records_the_most_similar_wins(repository: Repository) -> None:
    other = open_repository("sqlite://")
    whole = picture(7)
    cut = whole[10:180, 10:240]
    for name, image in (("urn:whole", whole), ("urn:cut", cut)):
        other.add(record_for(image, manifest_id=name, store=b"x", sha256="0" * 64, payload=b"8 bytes!"))
    found = recover(perturb("jpeg:60", cut), other, reading=Reading(b"8 bytes!"))
    assert found is not None and found.record.manifest_id == "urn:cut"


def variant(image: np.ndarray, size: int = 48) -> np.ndarray:
    """Another version of a picture: a part of it shows something else."""
    changed = image.copy()
    changed[40 : 40 + size, 60 : 60 + size] = picture(999)[40 : 40 + size, 60 : 60 + size]
    return changed


@pytest.mark.parametrize("spec", ["none", "jpeg:50", "resize:0.5", "screenshot", "crop:0.75"])
def test_variants_are_similar_and_not_recovered(repository: Repository, spec: str) -> None:
    for k in range(4):
        problems: list[Problem] = []
        copy = perturb(spec, variant(picture(k)), rng(k, spec))
        assert recover(copy, repository, problems=problems) is None
        (note,) = problems
        assert (note.code, note.severity) == ("recovery.similar", "notice")
        assert f"urn:c2pa:{k}" in note.sentence


def test_brightness_and_contrast_are_no_variant(repository: Repository) -> None:
    brighter = np.clip(picture(4).astype(np.float32) * 0.8 + 30, 0, 255).astype(np.uint8)
    found = recover(brighter, repository)
    assert found is not None and found.record.manifest_id == "urn:c2pa:4"


def test_a_variant_with_the_mark_is_recovered_by_it(repository: Repository) -> None:
    """An edited copy of a marked picture: the mark says whose it is, the sketch that it may be."""
    found = recover(variant(picture(2)), repository, reading=Reading(bytes([2]) * 8))
    assert found is not None and found.method == "mark"


def test_without_a_sketch_only_near_fingerprints_count() -> None:
    repository = open_repository("sqlite://")
    record = record_for(picture(1), manifest_id="urn:1", store=b"x", sha256="0" * 64, sketch=False)
    assert record.fingerprint is not None
    far = bytes([record.fingerprint[0] ^ 0xFF, record.fingerprint[1] ^ 0x0F]) + record.fingerprint[2:]
    repository.add(replace(record, fingerprint=far))  # 12 bits away
    problems: list[Problem] = []
    assert recover(picture(1), repository, problems=problems) is None
    assert [note.code for note in problems] == ["recovery.similar"]
