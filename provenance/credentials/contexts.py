"""The one place that makes c2pa contexts: no network, no thumbnails unless asked.

The c2pa reader fetches a manifest from a URL written inside an image unless it is told not to.
Every context made here has remote fetches, OCSP and every network host switched off.
"""

from __future__ import annotations

import functools
import json
import os
import re
import weakref
from typing import TYPE_CHECKING, Any

from countermark.core.errors import ProvenanceError
from countermark.core.images import sniff_format
from countermark.core.video.containers import CONTAINERS, HEAD, sniff_clip

if TYPE_CHECKING:
    import c2pa

MIME = {
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "gif": "image/gif",
    "tiff": "image/tiff",
    "avif": "image/avif",
    "heif": "image/heic",
}
OTHER_MAGIC = (
    (b"%PDF-", "application/pdf"),
    (b"\x00\x00\x00\x0cJXL ", "image/jxl"),
    (b"fLaC", "audio/flac"),
    (b"ID3", "audio/mpeg"),
)
#: What may stand before the root element of an SVG: a byte order mark, space, declaration, comments, DOCTYPE.
_SVG = re.compile(
    rb"(?:\xef\xbb\xbf)?(?:\s+|<\?xml.{0,1000}?\?>|<!--.{0,20000}?-->|"
    rb"<!DOCTYPE[^>\[]{0,1000}(?:\[.{0,20000}?\]\s{0,100})?>)*<(?:\w{1,40}:)?svg[\s>/]",
    re.DOTALL,
)
_SVG_HEAD = 65_536


#: What a signing certificate may be made for, as the library itself has it when nothing is set: e-mail,
#: documents (two), C2PA claims; and the two services, which ``guards`` keeps from signing pictures.
#: C2PA 2.2, 14.4.1: a trust list adds purposes and never takes one away. Always set, because what the
#: library takes for granted has changed between versions.
PURPOSES = (
    "1.3.6.1.5.5.7.3.4",
    "1.3.6.1.5.5.7.3.36",
    "1.3.6.1.5.5.7.3.8",
    "1.3.6.1.5.5.7.3.9",
    "1.3.6.1.4.1.311.76.59.1.9",
    "1.3.6.1.4.1.62558.2.1",
)


@functools.lru_cache(maxsize=64)
def context(
    anchors: str = "", ekus: str = "", *, identities: str = "", thumbnail: int = 0, host: str = ""
) -> c2pa.Context:
    """A context that may be shared by threads.

    Args:
        anchors: PEM certificates to trust; empty trusts nothing.
        ekus: Extra extended key usages (dotted OIDs, one a line) that signers may have besides
            ``PURPOSES``.
        identities: PEM certificates of authorities for CAWG identities.
        thumbnail: Longest edge of the thumbnail that a builder adds; 0 for none.
        host: The one network host that may be reached, a signer's time-stamp authority; empty
            for none.
    """
    import c2pa

    settings: dict[str, Any] = {
        "version": 1,
        "verify": {
            "remote_manifest_fetch": False,
            "ocsp_fetch": False,
            "verify_after_sign": False,
            "verify_trust": True,
        },
        "core": {"allowed_network_hosts": [host] if host else []},
        "builder": {
            # Else half a megabyte in a box of free space stays "as it was signed" (C2PA 2.2, 18.7).
            "bmff_hash_exclude_free_and_skip_boxes": False,
            "thumbnail": {
                "enabled": thumbnail > 0,
                "long_edge": max(thumbnail, 1),
                "quality": "low",
                "ignore_errors": True,
            },
        },
        "trust": {"trust_config": "\n".join((*PURPOSES, *ekus.split()))},
    }
    if anchors:
        settings["trust"]["trust_anchors"] = anchors
    if identities:
        settings["cawg_trust"] = {"verify_trust_list": True, "user_anchors": identities}
    made = c2pa.Context.from_json(json.dumps(settings))
    _settings[made] = settings
    return made


#: Settings of the contexts that are kept; a context does not tell its own.
_settings: weakref.WeakKeyDictionary[Any, dict[str, Any]] = weakref.WeakKeyDictionary()


def settings_of(made: c2pa.Context) -> dict[str, Any]:
    """The settings that ``context`` made a context from."""
    return _settings[made]


if hasattr(os, "register_at_fork"):  # the library's objects are not valid in a forked child
    os.register_at_fork(after_in_child=context.cache_clear)


def mime_of(data: bytes) -> str | None:
    """The media type of ``data`` by its first bytes, or None when c2pa cannot carry it."""
    kind = sniff_format(data)
    if kind is not None:
        return MIME.get(kind)
    for magic, mime in OTHER_MAGIC:
        if data.startswith(magic):
            return mime
    if data[4:8] == b"ftyp":
        return "audio/mp4" if data[8:11] == b"M4A" else "video/mp4"
    if data[:4] == b"RIFF":
        return {b"AVI ": "video/avi", b"WAVE": "audio/wav"}.get(data[8:12])
    if data[:2] in (b"\xff\xfb", b"\xff\xf3"):
        return "audio/mpeg"
    return "image/svg+xml" if _SVG.match(data[:_SVG_HEAD]) else None


def no_place(name: str, container: str) -> ProvenanceError:
    """The error for a clip whose container cannot hold a credential."""
    return ProvenanceError(
        f"{name} is {container.upper()}, which has no place for Content Credentials.",
        code="credential.format",
        hint="Give the destination the extension .mp4, or write a sidecar.",
    )


def require_mime(data: bytes, name: str, *, embed: bool = True) -> str:
    """The media type of ``data``; without ``embed`` also of clips that can only have one beside them.

    Raises:
        ProvenanceError: ``credential.format`` when no credential can be put into such a file.
    """
    mime = mime_of(data)
    container = sniff_clip(data[:HEAD])
    if mime is None and container is not None and not embed:
        return CONTAINERS[container].mime
    if mime is None and container is not None:
        raise no_place(name, container)
    if mime is None:
        raise ProvenanceError(
            f"{name} has a format that cannot carry Content Credentials.",
            code="credential.format",
            hint="Save it as PNG, JPEG, WebP, AVIF, TIFF or GIF first, or write a sidecar.",
        )
    return mime
