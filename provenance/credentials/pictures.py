"""The small pictures that a credential carries, of the image itself and of what it was made from.

>>> thumbnails(data)                              # doctest: +SKIP
{'urn:c2pa:…': b'\\xff\\xd8…'}

They were put there by whoever signed: they show what the signer saw, and are as hostile as any other
picture. Pass them through the image gate before they are shown.
"""

from __future__ import annotations

import io
import json
from typing import Any

from countermark.provenance.credentials.bounds import out_of_bounds
from countermark.provenance.credentials.contexts import context, mime_of

MAX_PICTURES = 32
MAX_PICTURE_BYTES = 2 * 1024 * 1024


def thumbnails(data: bytes, manifest: bytes | None = None) -> dict[str, bytes]:
    """Encoded thumbnails by the label of their link in ``Verification.chain``.

    Args:
        data: The encoded image.
        manifest: A manifest store that belongs to it, instead of the one inside.

    Returns:
        At most 32 pictures of at most 2 MiB each; empty when there are none or they cannot be read.
        Nothing is raised: a credential that does not hold is reported elsewhere.
    """
    import c2pa

    if out_of_bounds(data) or (manifest is not None and out_of_bounds(manifest)):
        return {}
    found: dict[str, bytes] = {}
    try:
        mime = mime_of(data) or "application/octet-stream"
        with c2pa.Reader(mime, io.BytesIO(data), manifest_data=manifest, context=context()) as reader:
            for label, address in _addresses(json.loads(reader.json())):
                if len(found) >= MAX_PICTURES:
                    break
                picture = _read(reader, address)
                if picture is not None:
                    found.setdefault(label, picture)
    except (c2pa.C2paError, ValueError, RecursionError):
        return found
    return found


def _addresses(store: Any) -> list[tuple[str, str]]:
    """Label and address of every thumbnail: a manifest's own, else the one its user kept of it."""
    manifests = store.get("manifests") if isinstance(store, dict) else None
    if not isinstance(manifests, dict):
        return []
    own: list[tuple[str, str]] = []
    kept: list[tuple[str, str]] = []
    for label, manifest in manifests.items():
        if not isinstance(manifest, dict):
            continue
        own += _address(str(label), manifest)
        ingredients = manifest.get("ingredients")
        for position, entry in enumerate(ingredients if isinstance(ingredients, list) else []):
            if isinstance(entry, dict):
                below = entry.get("active_manifest")
                known = isinstance(below, str) and below in manifests
                kept += _address(str(below) if known else f"{label}/ingredient-{position}", entry)
    return own + kept


def _address(label: str, holder: dict[str, Any]) -> list[tuple[str, str]]:
    thumbnail = holder.get("thumbnail")
    identifier = thumbnail.get("identifier") if isinstance(thumbnail, dict) else None
    return [(label, identifier)] if isinstance(identifier, str) else []


def _read(reader: Any, address: str) -> bytes | None:
    import c2pa

    stream = io.BytesIO()
    try:
        reader.resource_to_stream(address, stream)
    except (c2pa.C2paError, ValueError):
        return None
    return stream.getvalue() if 0 < stream.tell() <= MAX_PICTURE_BYTES else None
