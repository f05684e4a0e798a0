"""The record of a signed picture: made before its file is there, taken back if that cannot be written.

A picture whose record is missing can never be found again once its credential is stripped, and nobody
would notice. So a process that is killed between the two leaves a record of a picture that was never
handed out, and never the other way round. What an earlier version or a broken repository left without
a record gets one later, from the signed file itself (``record_again``).
"""

from __future__ import annotations

import base64
import binascii
import contextlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from countermark.app.clips.middle import middle_frame
from countermark.app.marking import ALGORITHM, Marked
from countermark.core.errors import CountermarkError, ProvenanceError
from countermark.core.files import sha256_bytes, sha256_file
from countermark.core.images import DEFAULT_LIMITS, Limits, read_bytes, read_image, sniff_format
from countermark.core.results import SignedImage
from countermark.core.video.containers import sniff_clip
from countermark.core.video.reader import read_head
from countermark.provenance.credentials.softbinding import LABEL

if TYPE_CHECKING:
    from countermark.provenance.repository import Repository

#: Largest clip that is signed, unless limits say otherwise: it is held in memory while it is.
CLIP_BYTES = 2 * 1024**3
UNWRITTEN = "The signed file could not be written."


class Recording:
    """Makes the record of one picture when ``sign_file`` calls it, with what was just signed.

    Args:
        marked: The picture as it was signed; it was decoded.
        source_type, generator: As they were given to ``sign``.
        repository: Where the record goes; None for the user's own.
    """

    def __init__(
        self, marked: Marked, source_type: str | None, generator: str | None, repository: Repository | None
    ) -> None:
        self.problem = ""  #: Why there is no record, if there is none.
        self._marked, self._repository = marked, repository
        self._source_type, self._generator = source_type, generator
        self._signed: SignedImage | None = None

    @property
    def done(self) -> bool:
        """Whether there is a record."""
        return self._signed is not None

    def __call__(self, signed: SignedImage, store: bytes) -> None:
        from countermark.provenance.repository import record_for

        assert self._marked.pixels is not None  # what is recorded was decoded
        try:
            row = record_for(
                self._marked.pixels,
                manifest_id=signed.manifest_id,
                store=store,
                sha256=signed.sha256,
                payload=self._marked.payload,
                signer=signed.identity,
                digital_source_type=self._source_type,
                generator=self._generator,
            )
            _place(self._repository).add(row)
            self._signed = signed
        except CountermarkError as error:
            self.problem = str(error)

    def withdraw(self) -> None:
        """Takes the record back, with a trace, unless the file is there after all."""
        if self._signed is None:
            return
        with contextlib.suppress(OSError):
            if sha256_file(self._signed.path) == self._signed.sha256:
                return
        with contextlib.suppress(CountermarkError):
            _place(self._repository).delete(self._signed.manifest_id, UNWRITTEN)


def record_again(
    path: Path | str,
    facts: Mapping[str, Any],
    *,
    repository: Repository | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> bool:
    """Makes the record of a picture or clip that was signed earlier, if there is none.

    A record that was deleted stays deleted. A file that is neither has none.

    Args:
        path: The signed file.
        facts: What is known of its signing: ``manifest_id`` and ``identity``, if anything.

    Returns:
        Whether a record was made.

    Raises:
        CountermarkError: The repository cannot be asked or written, or the file has no credential.
    """
    from countermark.provenance.repository import record_for

    place = _place(repository)
    label = str(facts.get("manifest_id") or "")
    if label and _known(place, label):
        return False
    if moving := sniff_clip(read_head(path)) is not None:
        limits = replace(limits, max_bytes=max(limits.max_bytes, CLIP_BYTES))
    data = read_bytes(path, limits)
    if not moving and sniff_format(data) is None:
        return False
    found, store = _credential(path, data, limits, moving)
    label = found.chain[0].label
    if _known(place, label):
        return False
    pixels = middle_frame(path) if moving else read_image(data, limits, name=str(path)).pixels
    row = record_for(
        pixels,
        manifest_id=label,
        store=store,
        sha256=sha256_bytes(data),
        payload=_payload(found.manifest or {}),
        signer=str(facts.get("identity") or found.chain[0].signer or ""),
        digital_source_type=found.digital_source_type,
        generator=found.chain[0].generator,
    )
    try:
        place.add(row)
    except ProvenanceError as error:
        if error.code != "repository.exists":  # another process was faster
            raise
        return False
    return True


def _place(repository: Repository | None) -> Repository:
    from countermark.provenance.repository import shared_repository

    return shared_repository() if repository is None else repository


def _known(place: Repository, label: str) -> bool:
    return place.has(label) or bool(place.deleted(label))


def _credential(path: Path | str, data: bytes, limits: Limits, moving: bool) -> tuple[Any, bytes]:
    """The verification of a file and its manifest store, from inside or beside it."""
    from countermark.provenance.credentials.clips import verify_clip
    from countermark.provenance.credentials.jumbf import manifest_store
    from countermark.provenance.credentials.signing import sidecar_path
    from countermark.provenance.credentials.verification import verify_image

    store = manifest_store(data)
    if store is None:
        with contextlib.suppress(CountermarkError):
            store = read_bytes(sidecar_path(path), limits)
    found = verify_clip(path) if moving else verify_image(path, data=data, limits=limits)
    if store is None or not found.chain:
        raise ProvenanceError(f"{path} carries no credential that could be recorded.", code="record.none")
    return found, store


def _payload(manifest: Mapping[str, Any]) -> bytes | None:
    """The mark that a manifest binds, or None."""
    for assertion in manifest.get("assertions", ()):
        data = assertion.get("data")
        named = str(assertion.get("label", "")).startswith(LABEL)
        if not named or not isinstance(data, dict) or data.get("alg") != ALGORITHM:
            continue
        for block in data.get("blocks", ()):
            with contextlib.suppress(binascii.Error, ValueError, TypeError, AttributeError):
                return base64.b64decode(block.get("value"), validate=True)
    return None
