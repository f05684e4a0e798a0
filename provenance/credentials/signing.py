"""Signs images with Content Credentials; never overwrites, never drops history.

>>> sign_image("made.png", "signed.png", identity="default", generator="my-model/1")  # doctest: +SKIP

What is written: the first action with its digital source type, the model, prompt and seed (in
an assertion that can be redacted later), the training-and-mining statement, soft bindings, and,
when the source is signed already, the source as parent ingredient with its whole history.
"""

from __future__ import annotations

import functools
import io
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

from countermark.core.errors import OutputError
from countermark.core.files import atomic_stream, atomic_write, write_all
from countermark.core.images import DEFAULT_LIMITS, Limits, read_bytes
from countermark.core.results import SignedImage
from countermark.provenance.credentials.builder import build
from countermark.provenance.credentials.claims import Claim, definition, disclosed
from countermark.provenance.credentials.contexts import mime_of, require_mime
from countermark.provenance.credentials.ingredients import Ingredient, Source, collect
from countermark.provenance.credentials.options import SIGNING, SignOptions, check_options
from countermark.provenance.credentials.softbinding import SoftBinding
from countermark.provenance.identities.certificates import load_chain
from countermark.provenance.identities.identity import Identity
from countermark.provenance.identities.store import get_identity


@dataclass(frozen=True)
class Signed:
    """A signed asset in memory: its bytes, its manifest store, and the active manifest's id.

    ``data`` equals the input when ``embed`` was False.
    """

    data: bytes
    manifest: bytes
    manifest_id: str
    identity: str
    notes: tuple[str, ...] = ()


def sign_image(
    source: Path | str,
    destination: Path | str,
    *,
    identity: str | Identity = "default",
    data: bytes | None = None,
    limits: Limits = DEFAULT_LIMITS,
    **options: Unpack[SignOptions],
) -> SignedImage:
    """Signs an image file.

    Args:
        source: The image. When it is signed already, it becomes the parent ingredient.
        destination: Where the signed image goes; must not exist, same format as what is signed.
        identity: Name of a stored identity, or one.
        data: What to sign instead of the source's own bytes, such as its watermarked copy.
        limits: ``max_bytes`` bounds the source and every ingredient.
        options: ``sidecar`` leaves the bytes as they are and writes the credential beside them
            (``.c2pa``); ``title`` is the destination's name by default; the others as for
            ``sign_bytes``: ``generator``, ``digital_source_type``, ``model``, ``seed``,
            ``prompt``, ``parents``, ``soft_bindings``, ``actions``, ``training``, ``thumbnail``,
            ``timestamp_url``, ``keep_history`` …

    Raises:
        OutputError: ``output.exists``, ``output.format`` or ``output.failed``.
        ImageError: The source is missing or too large.
        ProvenanceError: See ``sign_bytes``.
        TypeError: An option is not known; nothing was done.
    """
    return sign_file(source, destination, identity=identity, data=data, limits=limits, **options)[0]


def sign_file(
    source: Path | str,
    destination: Path | str,
    *,
    identity: str | Identity = "default",
    data: bytes | None = None,
    original: bytes | None = None,
    before_writing: Callable[[SignedImage, bytes], None] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    **options: Unpack[SignOptions],
) -> tuple[SignedImage, bytes]:
    """``sign_image``, and the manifest store that was written.

    Args:
        original: The source's bytes, when they were read already.
        before_writing: Called with the signed image and its store when everything is ready but the
            file is not there yet, so that whatever is to be known of it is known before anybody has it.
    """
    check_options("sign_image", options, known=SIGNING)
    destination = Path(destination)
    if os.path.exists(destination):
        raise OutputError(
            f"{destination} exists and is not overwritten.",
            code="output.exists",
            hint="Choose another name or remove it first.",
        )
    if original is None:
        original = read_bytes(source, limits)
    content = original if data is None else data
    _check_suffix(content, destination)
    sidecar = options.pop("sidecar", False)
    options["title"] = options.get("title") or destination.name
    signed = sign_bytes(
        content,
        identity=identity,
        history=original,
        name=str(source),
        embed=not sidecar,
        limits=limits,
        **options,  # type: ignore[misc]  # without "sidecar", which the type still names
    )
    # Signed in memory and written in one go: the library writes a file in hundreds of small pieces.
    with atomic_stream(destination) as stream:
        image = SignedImage(
            source=str(source),
            path=str(destination),
            sha256=write_all(stream, signed.data),
            manifest_id=signed.manifest_id,
            identity=signed.identity,
            payload=None,
            notes=signed.notes,
        )
        if before_writing is not None:  # the stream's file has no name that anybody knows
            before_writing(image, signed.manifest)
        if sidecar:
            atomic_write(sidecar_path(destination), signed.manifest)
    return image, signed.manifest


def sign_bytes(
    data: bytes,
    *,
    identity: str | Identity = "default",
    title: str | None = None,
    history: bytes | None = None,
    name: str = "image",
    embed: bool = True,
    keep_history: bool = True,
    parents: Sequence[Source | Ingredient] = (),
    thumbnail: int = 0,
    timestamp_url: str | None = None,
    remote_url: str | None = None,
    generator: str | None = None,
    digital_source_type: str | None = None,
    model: str | Mapping[str, Any] | None = None,
    seed: int | str | None = None,
    prompt: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    soft_bindings: Sequence[SoftBinding] = (),
    actions: Sequence[str | Mapping[str, Any]] = (),
    training: str | None = "notAllowed",
    assertions: Sequence[Mapping[str, Any]] = (),
    disclosure: bool | Mapping[str, Any] = False,
    identity_assertion: str | Identity | None = None,
    when: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Signed:
    """Signs an encoded image in memory.

    Args:
        data: The encoded image.
        identity: Name of a stored identity, or one.
        title: Shown to people; ``image`` by default.
        history: Bytes whose credentials come before; ``data`` by default.
        name: What to call the image in errors.
        embed: Write the manifest into the image; else only return it.
        keep_history: False forgets earlier credentials, on purpose.
        parents: What the image was made from. A single one is its parent; of several, each is
            a component. With a signed ``history`` all of them are components.
        thumbnail: Longest edge of a thumbnail in the manifest; 0 for none, never enlarged.
        timestamp_url: RFC 3161 authority; by default the identity's own, or else the one in
            ``$COUNTERMARK_TIMESTAMP_URL``. The one use of the network there is.
        remote_url: Written into the image as the manifest's address; nothing is uploaded.
        generator, digital_source_type, model, seed, prompt, parameters, soft_bindings, actions,
            training, assertions, when: See ``Claim``.
        disclosure: An AI disclosure (C2PA 2.4, ``c2pa.ai-disclosure``): True for one that names the
            model, or its fields.
        identity_assertion: An identity, or the name of a stored one, that vouches for the image
            besides the signer, in a CAWG identity assertion.
        limits: ``max_bytes`` bounds every ingredient.

    Raises:
        ProvenanceError: ``credential.format``, ``source-type.unknown``, ``history.unreadable``,
            ``signing.refused`` (with the certificate doctor's findings) and what identities raise.
    """
    signer_identity = get_identity(identity) if isinstance(identity, str) else identity
    timestamp_url = timestamp_url or _configured_authority(signer_identity)
    if timestamp_url:
        signer_identity = replace(signer_identity, timestamp_url=timestamp_url, _signers={})
    mime = require_mime(data, name, embed=embed)
    ingredients = collect(data if history is None else history, parents, keep_history, name, limits)
    relations = [each[0]["relationship"] for each in ingredients]
    claim = Claim(
        title=title or "image",
        generator=generator,
        digital_source_type=digital_source_type,
        model=model,
        seed=seed,
        prompt=prompt,
        parameters=parameters or {},
        soft_bindings=tuple(soft_bindings),
        actions=tuple(actions),
        training=training,
        assertions=(*assertions, *disclosed(disclosure, model or generator)),
        has_parent="parentOf" in relations,
        components=relations.count("componentOf"),
        inputs=relations.count("inputTo"),
        when=when,
    )
    manifest, strings = definition(claim)
    signed, store = build(
        data, mime, manifest, ingredients, signer_identity,
        embed=embed, thumbnail=_thumbnail_edge(data, thumbnail), remote_url=remote_url,
        strings=strings if soft_bindings else None,
        vouching=_identity(identity_assertion),
    )  # fmt: skip
    notes = [] if signer_identity.timestamp_url else [_ends(signer_identity.chain_pem)]
    soon = ends_soon(signer_identity)
    notes += [soon] if soon else []
    return Signed(signed, store, manifest["label"], signer_identity.name, tuple(notes))


#: Names an RFC 3161 authority for identities that have none of their own.
TIMESTAMP_VARIABLE = "COUNTERMARK_TIMESTAMP_URL"


def _identity(identity: str | Identity | None) -> Identity | None:
    return get_identity(identity) if isinstance(identity, str) else identity


def _configured_authority(identity: Identity) -> str | None:
    return None if identity.timestamp_url else os.environ.get(TIMESTAMP_VARIABLE) or None


#: A certificate that ends within so many hours is warned of with every signature.
SOON_HOURS = 72


def ends_soon(identity: Identity) -> str:
    """A sentence when an identity will sign only for some hours more, else empty."""
    hours = (_end(identity.chain_pem) - time.time()) / 3600
    if hours > SOON_HOURS:
        return ""
    left = f"in {round(hours)} hours" if hours >= 1.5 else f"in {max(round(hours * 60), 0)} minutes"
    renew = f" Make a new one with: countermark keys rotate {identity.name}"
    return f"The signing certificate of {identity.name!r} expires {left}; after that it signs no more." + (
        renew if identity.kind == "development" else " Have it renewed."
    )


@functools.lru_cache(maxsize=64)
def _end(chain_pem: str) -> float:
    """When the signing certificate expires, in seconds since 1970."""
    return load_chain(chain_pem)[0].not_valid_after_utc.timestamp()


@functools.lru_cache(maxsize=64)
def _ends(chain_pem: str) -> str:
    """A signature without a time-stamp holds as long as its certificate, and no longer."""
    end = load_chain(chain_pem)[0].not_valid_after_utc
    return (
        f"Without a time-stamp the signature holds only until {end:%Y-%m-%d}, when its certificate expires."
    )


def sidecar_path(image: Path | str) -> Path:
    """Where the credential of an image lies when it is not inside: same name, ``.c2pa``."""
    return Path(image).with_suffix(".c2pa")


def _thumbnail_edge(data: bytes, edge: int) -> int:
    """Never larger than the image: the library would enlarge it."""
    if edge <= 0:
        return 0
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            return min(edge, *([max(image.size)]))
    except Exception:
        return 0


def _check_suffix(data: bytes, destination: Path) -> None:
    expected = mime_of(data)
    written = _SUFFIXES.get(destination.suffix.lower())
    if (
        expected
        and written
        and expected != written
        and not (expected.startswith("video") and written == "audio/mp4")
    ):
        raise OutputError(
            f"{destination.name} is named as {written}, but what is signed is {expected}.",
            code="output.format",
            hint="Give the destination the extension of the source.",
        )


_SUFFIXES = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".avif": "image/avif",
    ".heic": "image/heic",
    ".heif": "image/heic",
    ".svg": "image/svg+xml",
    ".pdf": "application/pdf",
}
