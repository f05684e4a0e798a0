"""Verifies Content Credentials: four states kept apart, the whole chain, no network.

>>> verify_image("signed.png").state              # doctest: +SKIP
<VerificationState.TRUSTED: 'trusted'>

``trusted``: signature and bytes are good and the signer is on the trust list. ``intact``: good,
but the signer is not on it. ``invalid``: something does not fit, in the image or its history.
``absent``: no credential. A fifth, ``recovered``, is given by the recovery step only.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from countermark.core.errors import ImageError, ProvenanceError
from countermark.core.files import sha256_bytes
from countermark.core.images import DEFAULT_LIMITS, Limits, read_bytes, sniff_format
from countermark.core.results import ChainLink, Problem, Verification, VerificationState
from countermark.provenance.credentials import chain as chains
from countermark.provenance.credentials import codes, origin
from countermark.provenance.credentials.bounds import bounded_parts
from countermark.provenance.credentials.contexts import MIME, context, mime_of
from countermark.provenance.credentials.guards import guard, settle_tiff
from countermark.provenance.credentials.jumbf import has_credential, stores
from countermark.provenance.identities.anchors import relevant
from countermark.provenance.identities.trust import Trust, TrustList, resolve_trust

#: Formats whose credential, when there is one, holds the mark that ``has_credential`` looks for; a
#: remote one is named by XMP.
_PICTURES = frozenset(MIME.values())
_REMOTE = b"provenance"
_SUMMARIES = {
    VerificationState.TRUSTED: "The credential is good and its signer is on the trust list.",
    VerificationState.INTACT: "The credential fits the image, but its signer is not trusted.",
    VerificationState.INVALID: "The credential does not hold.",
    VerificationState.ABSENT: "There is no credential, which says nothing about the image.",
}


def verify_image(
    source: Path | str | bytes,
    *,
    data: bytes | None = None,
    trust: Trust | Sequence[Trust] | None = None,
    manifest: bytes | None = None,
    digest: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> Verification:
    """Verifies the credential of one image.

    Args:
        source: A path, or the file's bytes. Beside a path, a sidecar of the same name with the
            extension ``.c2pa`` is read when the file itself holds no credential.
        data: The bytes of the file that ``source`` names, when they were read already.
        trust: Who is trusted, see ``resolve_trust``; None for the development authority and
            the configured trust lists.
        manifest: A manifest store that belongs to the image, instead of the one inside it.
        digest: Also give the file's own SHA-256, for reports. It costs one more pass over all bytes,
            a quarter of the time for a PNG of one megapixel.
        limits: ``max_bytes`` bounds the file and its sidecar.

    Raises:
        ImageError: The file is missing, empty, too large, or no image that is known.
        ProvenanceError: The trust list cannot be read.
    """
    path = "" if isinstance(source, bytes) else str(source)
    if data is None:
        data = source if isinstance(source, bytes) else read_bytes(source, limits)
    name = path or "image"
    if not data:
        raise ImageError(f"{name} is empty.", code="image.empty", hint="Check how it was copied.")
    mime = mime_of(data)
    trusted = None if trust is None else resolve_trust(trust)  # a wrong list is told before anything else
    if manifest is None and path:
        manifest = _sidecar(path, data, limits)
    blank = Verification(path, VerificationState.ABSENT, sha256=sha256_bytes(data) if digest else None)
    if mime is None and manifest is None:
        return _absent_or_unknown(data, blank)
    if manifest is None and mime in _PICTURES and not has_credential(data) and _REMOTE not in data:
        return finish(blank)  # nothing there that the library would have to look at
    reason, parts = bounded_parts(data)
    if reason is None and manifest is not None:
        reason, parts = bounded_parts(manifest)
    return judge_stores(blank, data, mime, manifest, parts, reason, trusted)


def judge_stores(
    blank: Verification,
    source: bytes | IO[bytes],
    mime: str | None,
    manifest: bytes | None,
    parts: Sequence[bytes],
    reason: str | None,
    trusted: TrustList | None,
) -> Verification:
    """What the manifest stores of a file are worth.

    Args:
        blank: What is known already.
        source: The file's bytes, or the file itself, open, where it may be too long to be held.
        mime: Its media type.
        manifest: A manifest store that belongs to it, instead of the one inside.
        parts, reason: What ``bounded_parts`` gives for the store.
        trusted: Who is trusted; None for the development authority and the configured lists.
    """
    if reason == codes.COMPRESSED:
        return finish(replace(blank, problems=(Problem(reason, codes.sentence(reason), "notice"),)))
    if reason is not None:
        problem = Problem(reason, codes.sentence(reason))
        return finish(replace(blank, state=VerificationState.INVALID, problems=(problem,)))
    if trusted is None:
        trusted = resolve_trust(None)
    try:
        store = read_store(source, mime or "application/octet-stream", trusted, manifest, parts)
    except ProvenanceError as error:
        held = source if isinstance(source, bytes) else b"".join(parts)
        return _unread(blank, held, manifest, error)
    if store is None:
        return finish(blank)
    return finish(_judge(blank, store, parts, trusted))


def read_store(
    data: bytes | IO[bytes],
    mime: str,
    trust: TrustList,
    manifest: bytes | None = None,
    parts: Sequence[bytes] | None = None,
) -> dict[str, Any] | None:
    """The validated manifest store as c2pa's reader gives it, or None when there is none.

    ``parts`` are the manifest stores and what is compressed in them, when they were found already.

    Raises:
        ProvenanceError: ``manifest.inaccessible`` when it lies at a network address (nothing is
            fetched), ``countermark.manifest.unreadable`` when it is damaged.
    """
    import c2pa

    stream = io.BytesIO(data) if isinstance(data, bytes) else data
    if parts is None:
        parts = bounded_parts(manifest or stream.read())[1]
    anchors = relevant(parts, trust.anchors_pem, trust.timestamps_pem)
    vouched = any(b"cawg.identity" in part for part in parts)
    identities = relevant(parts, trust.identity_anchors) if vouched else ""
    settings = context(anchors, trust.eku_text, identities=identities)
    try:
        with c2pa.Reader(mime, stream, manifest_data=manifest, context=settings) as reader:
            store = json.loads(reader.json())
            if isinstance(data, bytes) and mime == "image/tiff" and codes.EXCLUSIONS in reader.json():
                settle_tiff(store, json.loads(reader.crjson()), data)
    except c2pa.C2paError.ManifestNotFound:
        return None
    except c2pa.C2paError as error:
        text = str(error)
        remote = text.startswith(("Remote", "RemoteManifest")) or "remote manifest" in text.lower()
        raise ProvenanceError(text, code=codes.REMOTE if remote else codes.UNREADABLE) from error
    except (ValueError, RecursionError) as error:
        raise ProvenanceError(str(error), code=codes.UNREADABLE) from error
    return store if isinstance(store, dict) and store.get("active_manifest") else None


def _judge(
    blank: Verification, store: dict[str, Any], parts: Sequence[bytes], trust: TrustList
) -> Verification:
    findings = chains.gather(store)
    certificates = guard(store, findings, parts, trust)
    active = str(store["active_manifest"])
    if store.get("validation_state") == "Invalid" and findings[active].state() != "invalid":
        below = any(each.state() == "invalid" for each in findings.values())
        identity = any(codes.only_identity(code) for each in findings.values() for code in each.failure)
        if not below and not identity:
            findings[active].failure.setdefault("general.error", "the reader calls it invalid")
    history = chains.links(store, findings, certificates)
    said = origin.statements(store, findings)
    weakest = chains.weakest(history)
    state = VerificationState(weakest.state if weakest else "invalid")
    problems = [problem for link in _once(history) for problem in link.problems]
    problems.sort(
        key=lambda each: (
            each.severity != "failure",
            each.code == codes.UNTRUSTED,
            not codes.says_changed(each.code),
            each.where != "active",
        )
    )
    manifests = store.get("manifests")
    return replace(
        blank,
        state=state,
        problems=tuple(problems),
        chain=tuple(history),
        manifest=manifests.get(active) if isinstance(manifests, dict) else None,
        digital_source_type=origin.source_type_of(said),
        statements=said,
        matches=findings[active].matches(),
    )


def finish(result: Verification) -> Verification:
    """With the one sentence for people."""
    summary = _SUMMARIES[result.state]
    reason = next((each for each in result.problems if each.severity == "failure"), None)
    if reason is not None and result.state is VerificationState.INVALID and codes.only_signer(reason.code):
        summary = "The credential fits the image, but it does not hold."
    if reason is None and result.state is VerificationState.ABSENT:
        reason = next(iter(result.problems), None)
    if reason is not None:
        if reason.where != "active" and result.state is not VerificationState.ABSENT:
            link = next((each for each in result.chain if each.label == reason.where), None)
            named = f" ({link.title})" if link is not None and link.title else ""
            summary = f"{summary} In its history{named}: {reason.sentence}"
        else:
            summary = f"{summary} {reason.sentence}"
    return replace(result, summary=summary)


def _unread(blank: Verification, data: bytes, manifest: bytes | None, error: ProvenanceError) -> Verification:
    explanation = error.message
    if error.code == codes.REMOTE:
        problem = Problem(codes.REMOTE, codes.sentence(codes.REMOTE), "notice")
        return finish(replace(blank, problems=(problem,)))
    if manifest is not None or has_credential(data) or next(stores(data), None) is not None:
        sentence = f"{codes.sentence(codes.UNREADABLE)[:-1]} ({_short(explanation)})."
        problem = Problem(codes.UNREADABLE, sentence)
        return finish(replace(blank, state=VerificationState.INVALID, problems=(problem,)))
    problem = Problem("image.damaged", f"The file is damaged ({_short(explanation)}).", "notice")
    return finish(replace(blank, problems=(problem,)))


def _absent_or_unknown(data: bytes, blank: Verification) -> Verification:
    if sniff_format(data) is None and not has_credential(data):
        raise ImageError(
            f"{blank.path or 'image'} is not an image in a supported format.",
            code="image.unsupported",
            hint="Supported: JPEG, PNG, WebP, AVIF, HEIC, GIF, TIFF, BMP.",
        )
    if has_credential(data):
        return _unread(
            blank, data, None, ProvenanceError("the file's format is not known", code=codes.UNREADABLE)
        )
    return finish(blank)


def _sidecar(path: str, data: bytes, limits: Limits) -> bytes | None:
    """The credential beside a file, when there is one and the file itself holds none."""
    beside = os.path.splitext(path)[0] + ".c2pa"
    if beside == path or not os.path.isfile(beside) or has_credential(data):
        return None
    with contextlib.suppress(ImageError):
        return read_bytes(beside, limits)
    return None


def _once(history: list[ChainLink]) -> list[ChainLink]:
    """Links without repeats: an ingredient may be used more than once."""
    return list({link.label: link for link in history}.values())


@functools.lru_cache(maxsize=256)
def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 160 else flat[:157] + "…"
