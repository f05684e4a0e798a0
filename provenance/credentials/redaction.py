"""Takes prompt and seed (or other assertions) out of a signed image, leaving the rest verifiable.

A new manifest on top names what was removed, so nobody can remove anything unseen (C2PA 2.x,
"Redaction of assertions"). It has a hash of its own: the library's update manifests, which leave
the hash to their parent, do not verify for WebP, TIFF and AVIF.

>>> redact_image("signed.png", "public.png", reason="c2pa.PII.present")       # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from countermark.core.errors import ProvenanceError
from countermark.core.files import atomic_path, sha256_bytes
from countermark.core.images import read_bytes
from countermark.core.results import SignedImage, VerificationState
from countermark.provenance.credentials.builder import build
from countermark.provenance.credentials.claims import PARENT_ID, PROMPT_LABEL, Claim, definition
from countermark.provenance.credentials.contexts import require_mime
from countermark.provenance.credentials.jumbf import manifest_store
from countermark.provenance.credentials.signing import Signed
from countermark.provenance.credentials.verification import verify_image
from countermark.provenance.identities.identity import Identity
from countermark.provenance.identities.store import get_identity

#: C2PA 2.x, reasons for a redaction.
REASONS = (
    "c2pa.PII.present",
    "c2pa.invalid.data",
    "c2pa.trade-secret.present",
    "c2pa.government.confidential",
)
_KEPT = ("c2pa.actions", "c2pa.hash.", "c2pa.ingredient")


def redact_image(
    source: Path | str,
    destination: Path | str,
    *,
    labels: Sequence[str] = (PROMPT_LABEL,),
    reason: str = REASONS[0],
    identity: str | Identity = "default",
) -> SignedImage:
    """Writes a copy of a signed image without some assertions of its active manifest.

    Args:
        source: A signed image.
        destination: The copy; must not exist.
        labels: Assertions to remove; by default prompt, seed and generation parameters.
        reason: One of ``REASONS``, or a reason with your own domain in front.
        identity: Who redacts.

    Raises:
        ProvenanceError: See ``redact_bytes``.
        OutputError: ``output.exists`` or ``output.failed``.
    """
    signed = redact_bytes(
        read_bytes(source), labels=labels, reason=reason, identity=identity, title=Path(destination).name
    )
    with atomic_path(destination) as temporary:
        temporary.write_bytes(signed.data)
    return SignedImage(
        str(source), str(destination), sha256_bytes(signed.data), signed.manifest_id, signed.identity, None
    )


def redact_bytes(
    data: bytes,
    *,
    labels: Sequence[str] = (PROMPT_LABEL,),
    reason: str = REASONS[0],
    identity: str | Identity = "default",
    title: str = "image",
) -> Signed:
    """As ``redact_image``, in memory.

    Raises:
        ProvenanceError: ``redaction.invalid`` when the image's credential does not hold,
            ``redaction.nothing`` when it has no such assertion, ``redaction.forbidden`` for
            actions, hashes and ingredients, which must stay; and what signing raises.
    """
    found = verify_image(data)
    if found.state not in (VerificationState.TRUSTED, VerificationState.INTACT) or found.manifest is None:
        raise ProvenanceError(
            f"Only an image whose credential holds can be redacted; this one's is {found.state}.",
            code="redaction.invalid",
            hint="Start from an undamaged signed copy.",
        )
    kept = [label for label in labels if label.startswith(_KEPT)]
    if kept:
        raise ProvenanceError(
            f"{', '.join(kept)} must stay in the credential.",
            code="redaction.forbidden",
            hint="Actions, hashes and ingredients cannot be redacted.",
        )
    present = {str(each.get("label")) for each in found.manifest.get("assertions", ())}
    missing = [label for label in labels if label not in present]
    if missing or not labels:
        raise ProvenanceError(
            f"The active manifest has no assertion {', '.join(missing) or 'to redact'}.",
            code="redaction.nothing",
            hint=f"It has {', '.join(sorted(present))}.",
        )
    label = found.chain[0].label
    uris = [f"self#jumbf=/c2pa/{label}/c2pa.assertions/{each}" for each in labels]
    manifest = _update(title, uris, reason)
    mime = require_mime(data, title)
    facts = {"title": title, "relationship": "parentOf", "label": PARENT_ID}
    signer = get_identity(identity) if isinstance(identity, str) else identity
    signed, store = build(_without_store(data, mime), mime, manifest, [(facts, mime, data)], signer)
    return Signed(signed, store, manifest["label"], signer.name)


def _without_store(data: bytes, mime: str) -> bytes:
    """TIFF data without the old store's bytes, which the library leaves lying in the file."""
    store = manifest_store(data) if mime == "image/tiff" else None
    return data.replace(store, bytes(len(store))) if store else data


def _update(title: str, uris: list[str], reason: str) -> dict[str, Any]:
    redacted = [
        {"action": "c2pa.redacted", "reason": reason, "parameters": {"redacted": uri}} for uri in uris
    ]
    manifest, _ = definition(Claim(title, training=None, has_parent=True, actions=redacted))
    return {**manifest, "redactions": uris}
