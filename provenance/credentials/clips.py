"""Verifies Content Credentials of clips without holding them in memory.

>>> verify_clip("clip.mp4").state                 # doctest: +SKIP
<VerificationState.TRUSTED: 'trusted'>

In MP4 and MOV a credential lies in ``uuid`` boxes of the outermost level (C2PA 2.2, A.5); only those are
read here, within a bound, and the library hashes the rest from the file. WebM and Matroska have no place
for one: theirs lies beside the file (``.c2pa``).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from countermark.core.errors import ImageError
from countermark.core.files import sha256_file
from countermark.core.images import Limits, read_bytes
from countermark.core.results import Verification, VerificationState
from countermark.core.video.boxes import boxes
from countermark.core.video.containers import CONTAINERS, HEAD, sniff_clip
from countermark.core.video.reader import open_regular
from countermark.core.video.sampling import DEFAULT_CLIP_LIMITS, ClipLimits
from countermark.provenance.credentials import codes
from countermark.provenance.credentials.bounds import bounded_parts
from countermark.provenance.credentials.jumbf import has_credential
from countermark.provenance.credentials.verification import finish, judge_stores
from countermark.provenance.identities.trust import Trust, resolve_trust

#: The box that holds a manifest store, by its extended type.
C2PA_BOX = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
#: Bytes of manifest stores that are read.
MAX_STORE = 64 * 1024 * 1024


def verify_clip(
    path: Path | str,
    *,
    trust: Trust | Sequence[Trust] | None = None,
    manifest: bytes | None = None,
    digest: bool = False,
    limits: ClipLimits = DEFAULT_CLIP_LIMITS,
) -> Verification:
    """Verifies the credential of one clip; nothing is decoded and nothing fetched.

    Args:
        path: An MP4, MOV, WebM or MKV file; beside it, a ``.c2pa`` file of the same name is read when the
            clip itself holds no credential.
        trust: As for ``verify_image``.
        manifest: A manifest store that belongs to the clip, instead of the one inside or beside it.
        digest: Also give the file's own SHA-256.
        limits: ``max_bytes`` bounds the file.

    Raises:
        ClipError: the file is missing, empty, too large, or no clip that is known.
        ProvenanceError: the trust list cannot be read.
    """
    trusted = None if trust is None else resolve_trust(trust)
    sha256 = sha256_file(path) if digest else None
    blank = Verification(str(path), VerificationState.ABSENT, sha256=sha256)
    with open_regular(path, limits, str(path)) as stream:
        container = sniff_clip(stream.read(HEAD))
        mime = CONTAINERS[container].mime if container else None
        inside, too_much = stored(stream) if container in ("mp4", "mov") else (b"", False)
        if manifest is None:
            manifest = None if inside else _beside(path)
        reason, parts = bounded_parts(manifest or inside)
        if too_much:
            reason = codes.OUT_OF_BOUNDS
        if reason is None and manifest is None and not has_credential(inside):
            return finish(blank)
        stream.seek(0)
        return judge_stores(blank, stream, mime, manifest, parts, reason, trusted)


def stored(stream: IO[bytes]) -> tuple[bytes, bool]:
    """What the C2PA boxes of an open MP4 or MOV hold, and whether that was more than is read."""
    found = []
    room = MAX_STORE
    for kind, at, size in boxes(stream):
        if kind != "uuid" or size < len(C2PA_BOX):
            continue
        stream.seek(at)
        if stream.read(len(C2PA_BOX)) != C2PA_BOX:
            continue
        room -= size
        if room < 0:
            return b"", True
        found.append(stream.read(size - len(C2PA_BOX)))
    return b"".join(found), False


def _beside(path: Path | str) -> bytes | None:
    beside = os.path.splitext(path)[0] + ".c2pa"
    if beside == str(path) or not os.path.isfile(beside):
        return None
    with contextlib.suppress(ImageError):
        return read_bytes(beside, Limits(max_bytes=MAX_STORE))
    return None
