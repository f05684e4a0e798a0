"""What the repository holds about one signed image, checked before it is stored.

>>> record = ManifestRecord("urn:c2pa:1", b"jumbf", payload=b"8 bytes!", sha256="0" * 64)
>>> record.fingerprint is None
True
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime

from countermark.core.errors import ProvenanceError
from countermark.core.images import Pixels
from countermark.provenance import fingerprint as fp
from countermark.provenance.fingerprint.regions import REGION_BYTES

MAX_STORE_BYTES = 16 * 1024 * 1024
MAX_ID_LENGTH = 255
MAX_TEXT_LENGTH = 1000
MAX_PAYLOAD_BYTES = 64

_ID = re.compile(r"[!-~]{1,255}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def now() -> str:
    """The time in UTC as ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class ManifestRecord:
    """One signed image.

    Attributes:
        manifest_id: Label of the active manifest (``urn:c2pa:…``); printable ASCII, at most 255.
        store: The C2PA manifest store (JUMBF) as it was embedded; at most 16 MiB.
        payload: The watermark's payload (8 bytes), or None when the image carries none.
        fingerprint: 32 bytes, see ``countermark.provenance.fingerprint``, or None.
        regions: Region hashes as little-endian uint64, or None.
        sketch: 4,096 grey values for the re-check, or None.
        sha256: Of the signed file, lower-case hex.
        created: When the record was made, ISO 8601.
        signer: Name of the identity or the certificate's subject.
        digital_source_type: IPTC term, or None.
        generator: What made the image, or None.

    Raises:
        ProvenanceError: ``repository.invalid-record``.
    """

    manifest_id: str
    store: bytes = field(repr=False)
    payload: bytes | None = None
    fingerprint: bytes | None = None
    regions: bytes | None = field(default=None, repr=False)
    sketch: bytes | None = field(default=None, repr=False)
    sha256: str = ""
    created: str = field(default_factory=now)
    signer: str = ""
    digital_source_type: str | None = None
    generator: str | None = None

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.manifest_id):
            raise _invalid("manifest id is not 1 to 255 printable ASCII characters without spaces")
        if not self.store:
            raise _invalid("manifest store is empty")
        if len(self.store) > MAX_STORE_BYTES:
            raise _invalid(f"manifest store has {len(self.store):,} bytes, more than {MAX_STORE_BYTES:,}")
        if not _SHA256.fullmatch(self.sha256):
            raise _invalid("sha256 is not 64 lower-case hex digits")
        if self.payload is not None and not 1 <= len(self.payload) <= MAX_PAYLOAD_BYTES:
            raise _invalid(f"watermark payload does not have 1 to {MAX_PAYLOAD_BYTES} bytes")
        lengths = {"fingerprint": fp.BYTES, "regions": REGION_BYTES, "sketch": fp.SKETCH_BYTES}
        for name, length in lengths.items():
            value = getattr(self, name)
            if value is not None and len(value) != length:
                raise _invalid(f"{name} has {len(value)} bytes instead of {length}")
        for name in ("created", "signer", "digital_source_type", "generator"):
            value = getattr(self, name) or ""
            if len(value) > MAX_TEXT_LENGTH or "\0" in value:
                raise _invalid(f"{name} is longer than {MAX_TEXT_LENGTH} characters or holds a NUL")


@dataclass(frozen=True)
class Hit:
    """A record found by fingerprint and its Hamming distance in bits."""

    record: ManifestRecord
    distance: int


@dataclass(frozen=True)
class Deletion:
    """The trace of a record that was deleted: which, when, why; nothing about its content."""

    manifest_id: str
    sha256: str
    deleted: str
    reason: str


def record_for(
    pixels: Pixels,
    *,
    manifest_id: str,
    store: bytes,
    sha256: str,
    payload: bytes | None = None,
    signer: str = "",
    digital_source_type: str | None = None,
    generator: str | None = None,
    sketch: bool = True,
) -> ManifestRecord:
    """The record of a signed image, with everything that finds it again.

    Args:
        pixels: The image as it was signed (after the watermark), uint8, H x W x 3, RGB.
        sketch: Keep the 64 x 64 sketch that hits are re-checked with. Without it a hit is
            re-checked by the fingerprint alone, and cropped copies are found only by their mark.
        manifest_id, store, sha256, payload, signer, digital_source_type, generator: See ManifestRecord.
    """
    return ManifestRecord(
        manifest_id,
        store,
        payload=payload,
        fingerprint=fp.fingerprint(pixels),
        regions=fp.region_hashes(pixels).astype("<u8").tobytes() if sketch else None,
        sketch=fp.sketch(pixels) if sketch else None,
        sha256=sha256,
        signer=signer,
        digital_source_type=digital_source_type,
        generator=generator,
    )


def _invalid(what: str) -> ProvenanceError:
    return ProvenanceError(
        f"The record's {what}.",
        code="repository.invalid-record",
        hint="Records are made when an image is signed; do not edit them by hand.",
    )
