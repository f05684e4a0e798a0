"""Recovery: finds the manifest of an image whose credential was stripped.

>>> import numpy as np
>>> from countermark.core.perturb import perturb
>>> from countermark.provenance.repository import open_repository, record_for
>>> ramp = np.linspace(0, 255, 96 * 128 * 3).reshape(96, 128, 3)
>>> image = np.random.default_rng(0).normal(ramp, 40).clip(0, 255).astype(np.uint8)
>>> repository = open_repository("sqlite://")
>>> record = record_for(image, manifest_id="urn:c2pa:1", store=b"jumbf", sha256="0" * 64)
>>> _ = repository.add(record)
>>> found = recover(perturb("screenshot", image), repository)
>>> found.record.manifest_id, found.method
('urn:c2pa:1', 'fingerprint')

Three ways, in this order: the watermark's payload (exact), the fingerprint of the whole image, and
the hashes of its regions (for crops). A hit is only a candidate: watermarks can be copied from one
picture to another, and different pictures can have similar fingerprints. So every candidate is
re-checked against what was stored of the original, and one that does not lie on it is not returned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from countermark.core.images import Pixels
from countermark.core.results import Problem
from countermark.provenance.fingerprint import (
    MAX_DISTANCE,
    compare,
    content_hash,
    distance,
    fingerprint,
)
from countermark.provenance.repository import ManifestRecord, Repository

#: Score of the re-check from which a watermark's hit is accepted: the mark speaks for it already.
MARK_SCORE = 0.66

#: For hits by fingerprint or region, where nothing else speaks for the candidate: the score, the share
#: of the original that must be there, and the largest local difference in grey levels. Measured, see
#: docs/recovery-figures.md: 99 % of the copies are within, and 98 % of the near variants are not.
LOOKS_SCORE = 0.88
LOOKS_OVERLAP = 0.45
LOOKS_RESIDUAL = 10.0

#: Score from which a picture that is no copy is said to be similar.
SIMILAR_SCORE = 0.75

#: Distances for records without a sketch: of a copy found by its mark or by its fingerprint.
MARK_DISTANCE = 80
LOOKS_DISTANCE = 8

MEANING = (
    "Recovered means: a manifest was found in the repository for a picture that looks like this one. "
    "It does not mean that this file is unchanged since it was signed: the manifest was not in the "
    "file, so nothing ties it to these exact bytes."
)


class Mark(Protocol):
    """What recovery needs of a watermark reading."""

    @property
    def payload(self) -> bytes | None: ...

    @property
    def p_value(self) -> float: ...


@dataclass(frozen=True)
class Recovered:
    """A record that was found again and passed the re-check.

    Attributes:
        record: The record with its manifest store.
        method: ``mark``, ``fingerprint`` or ``region``.
        similarity: 0 to 100, from the re-check.
        distance: Hamming distance of the fingerprints, or None where the record has none.
        turned: How the image had been turned, see ``fingerprint.Comparison``.
        sentence: What was found, for people.
        meaning: What that does and does not mean.
    """

    record: ManifestRecord
    method: str
    similarity: int
    distance: int | None
    turned: str
    sentence: str
    meaning: str = MEANING


@dataclass(frozen=True)
class _Check:
    passed: bool
    similarity: int
    distance: int | None
    turned: str = ""
    similar: bool = False


@dataclass(frozen=True)
class Known:
    """A payload that was read elsewhere and is handed over as a hint."""

    payload: bytes | None
    p_value: float = 0.0


def recover(
    image_pixels: Pixels,
    repository: Repository,
    *,
    reading: Mark | None = None,
    problems: list[Problem] | None = None,
    max_distance: int = MAX_DISTANCE,
    limit: int = 16,
) -> Recovered | None:
    """Looks an image up in the repository and returns the best record that passed the re-check.

    Args:
        image_pixels: uint8, H x W x 3, RGB.
        repository: Where to look.
        reading: The watermark that was read in the image, if any.
        problems: A list to which findings are appended: ``recovery.mark-mismatch`` (a mark that
            belongs to another picture), ``recovery.mark-unknown`` (nothing recorded for it) and
            ``recovery.similar`` (a picture that looks alike is known, and this is no copy of it).
        max_distance: Of fingerprints, in bits of 256.
        limit: Most candidates that are re-checked for each way.
    """
    found = recover_all(
        image_pixels,
        repository,
        reading=reading,
        problems=problems,
        max_distance=max_distance,
        limit=limit,
    )
    return found[0] if found else None


def recover_all(
    image_pixels: Pixels,
    repository: Repository,
    *,
    reading: Mark | None = None,
    problems: list[Problem] | None = None,
    looks: bool = True,
    max_distance: int = MAX_DISTANCE,
    limit: int = 16,
) -> list[Recovered]:
    """All records that passed the re-check, the most similar first; see ``recover``.

    The first way that finds anything ends the search. ``looks=False`` goes by the mark only.
    """
    notes = problems if problems is not None else []
    found: list[Recovered] = []
    if reading is not None and reading.payload is not None:
        found = _by_mark(image_pixels, repository, reading.payload, notes, limit)
    if not found and looks:
        found = _by_looks(image_pixels, repository, notes, max_distance, limit)
    # Sorting is stable: among equals the newest record, which came first, stays first.
    return sorted(found, key=lambda one: -one.similarity)


def _by_mark(
    pixels: Pixels, repository: Repository, payload: bytes, notes: list[Problem], limit: int
) -> list[Recovered]:
    candidates = repository.by_payload(payload, limit=limit)
    if not candidates:
        notes.append(
            Problem(
                "recovery.mark-unknown",
                f"The image carries the mark {payload.hex()}, and this repository holds no record of it.",
                "notice",
            )
        )
        return []
    checks = [(record, _check_mark(record, pixels)) for record in candidates]
    found = [_recovered(record, "mark", check) for record, check in checks if check.passed]
    if not found:
        notes.append(
            Problem(
                "recovery.mark-mismatch",
                f"The image carries the mark {payload.hex()} of another picture "
                f"({candidates[0].manifest_id}): the mark was copied, or the picture was altered beyond "
                "recognition.",
            )
        )
    return found


def _by_looks(
    pixels: Pixels, repository: Repository, notes: list[Problem], max_distance: int, limit: int
) -> list[Recovered]:
    own = fingerprint(pixels)
    hits = repository.by_fingerprint(own, max_distance=max_distance, limit=limit)
    checks = [(hit.record, "fingerprint", _check_looks(hit.record, pixels, own)) for hit in hits]
    if not any(check.passed for _, _, check in checks):
        tried = {hit.record.manifest_id for hit in hits}
        # Chance hits are common among region hashes, so more of them are looked at.
        windows = repository.by_region(content_hash(pixels), limit=2 * limit)
        fresh = [hit.record for hit in windows if hit.record.manifest_id not in tried]
        checks += [(record, "region", _check_looks(record, pixels, own)) for record in fresh]
    found = [_recovered(record, method, check) for record, method, check in checks if check.passed]
    alike = [(check.similarity, record) for record, _, check in checks if check.similar]
    if alike and not found:
        similarity, record = max(alike, key=lambda each: each[0])
        notes.append(
            Problem(
                "recovery.similar",
                f"A similar picture is known ({record.manifest_id}, similarity {similarity} of 100), but "
                "this is no plain copy of it: a variant, an edited copy, or another picture of the same "
                "thing. Its credential is not carried over.",
                "notice",
            )
        )
    return found


def _check_mark(record: ManifestRecord, pixels: Pixels) -> _Check:
    bits = None if record.fingerprint is None else distance(record.fingerprint, fingerprint(pixels))
    if record.sketch is not None:
        found = compare(record.sketch, pixels, turns=True)
        return _Check(found.score >= MARK_SCORE, _percent(found.score), bits, found.turned)
    if bits is None:
        return _Check(False, 0, None)
    return _Check(bits <= MARK_DISTANCE, _percent(1 - bits / 128), bits)


def _check_looks(record: ManifestRecord, pixels: Pixels, own: bytes) -> _Check:
    bits = None if record.fingerprint is None else distance(record.fingerprint, own)
    if record.sketch is not None:
        found = compare(record.sketch, pixels, exact=True)
        enough = found.overlap >= LOOKS_OVERLAP
        close = found.residual is not None and found.residual <= LOOKS_RESIDUAL
        passed = enough and close and found.score >= LOOKS_SCORE
        alike = enough and not passed and found.score >= SIMILAR_SCORE
        return _Check(passed, _percent(found.score), bits, similar=alike)
    # Without a sketch the fingerprint is all there is.
    passed = bits is not None and bits <= LOOKS_DISTANCE
    return _Check(passed, _percent(1 - (bits or 0) / 128), bits, similar=bits is not None and not passed)


def _recovered(record: ManifestRecord, method: str, check: _Check) -> Recovered:
    how = {
        "mark": "by its watermark",
        "fingerprint": "by its fingerprint",
        "region": "as a part of a larger picture",
    }[method]
    sentence = (
        f"The credential was stripped and found again {how}: {record.manifest_id}, signed by "
        f"{record.signer or 'an unnamed signer'} on {record.created[:10]}."
    )
    return Recovered(record, method, check.similarity, check.distance, check.turned, sentence)


def _percent(score: float) -> int:
    return round(100 * min(max(score, 0.0), 1.0))
