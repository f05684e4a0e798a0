"""Runs the c2pa builder once: settings, ingredients, signer, byte strings, errors in plain words."""

from __future__ import annotations

import functools
import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from countermark.core.errors import ProvenanceError
from countermark.provenance.credentials.bytestrings import ByteStrings
from countermark.provenance.credentials.contexts import context
from countermark.provenance.credentials.ingredients import add_ingredient
from countermark.provenance.credentials.vouching import identity_context
from countermark.provenance.identities.identity import Identity
from countermark.provenance.identities.trust import default_trust


def build(
    data: bytes,
    mime: str,
    manifest: dict[str, Any],
    ingredients: list[tuple[dict[str, Any], str, bytes]],
    identity: Identity,
    *,
    embed: bool = True,
    thumbnail: int = 0,
    remote_url: str | None = None,
    strings: ByteStrings | None = None,
    vouching: Identity | None = None,
) -> tuple[bytes, bytes]:
    """Signs ``data`` with a manifest definition.

    Args:
        data: The encoded image.
        mime: Its media type.
        manifest: Definition as ``claims.definition`` gives it.
        ingredients: Facts, media type and bytes of each, as ``ingredients.collect`` gives them.
        identity: Who signs.
        embed: Write the manifest into the image.
        thumbnail: Longest edge of a thumbnail; 0 for none.
        remote_url: Address of the manifest to write into the image; nothing is uploaded.
        strings: Replaces the stand-ins of soft-binding values.
        vouching: Who vouches for the image besides the signer, in a CAWG identity assertion.

    Returns:
        The signed image (unchanged when neither embedded nor given an address) and the store.

    Raises:
        ProvenanceError: ``signing.refused``, ``signing.timestamp``, ``history.unreadable``,
            ``key.callback``, ``softbinding.bytes`` or ``identity.external``.
    """
    import c2pa

    extra = _require_health(identity)
    settings: Any = context(
        _anchors() if ingredients else "",
        "\n".join(extra),
        thumbnail=thumbnail,
        host=(urlsplit(identity.timestamp_url).hostname or "") if identity.timestamp_url else "",
    )
    if vouching is not None:
        _require_health(vouching)
        settings = identity_context(settings, identity, vouching, stamp=strings is None)
    buffer = io.BytesIO()
    failures: list[Exception] = []
    to_sign: list[bytes] = []
    try:
        with c2pa.Builder(manifest, context=settings) as builder:
            if not embed:
                builder.set_no_embed()
            if remote_url:
                builder.set_remote_url(remote_url)
            for facts, kind, content in ingredients:
                add_ingredient(builder, facts, kind, content)
            if vouching is not None:
                store = builder.sign(mime, io.BytesIO(data), buffer)
            else:
                with _signer(identity, strings, failures, to_sign) as signer:
                    store = builder.sign(signer, mime, io.BytesIO(data), buffer)
    except c2pa.C2paError as error:
        if failures:
            raise failures[0] from error
        raise _refused(identity, error) from error
    signed = buffer.getvalue()
    if strings is not None:
        if vouching is not None:
            final = strings.finish_signed(store, identity)
        else:
            final = strings.finish(store, to_sign[-1], identity)
        signed = strings.for_asset(signed, store, final) if embed else signed
        store = final
    return signed, store


def _anchors() -> str:
    """Of signers and of time-stamps: what an ingredient is worth is recorded when it is added."""
    trust = default_trust()
    return trust.anchors_pem + trust.timestamps_pem


@contextmanager
def _signer(
    identity: Identity, strings: ByteStrings | None, failures: list[Exception], to_sign: list[bytes]
) -> Iterator[Any]:
    """A signer for one signature.

    What a Python signer raises is kept in ``failures``, because the library swallows it. With
    ``strings``, what is to be signed goes to ``to_sign`` and a stand-in is returned.
    """
    if strings is None and not identity.external:
        yield identity.native_signer()
        return

    def sign(data: bytes) -> bytes:
        if strings is not None:
            to_sign.append(data)
            return strings.signature(identity.signature_size)
        try:
            return identity.sign(data)
        except Exception as error:
            failures.append(error)
            raise

    with identity.callback_signer(sign, timestamp=strings is None) as signer:
        yield signer


def _require_health(identity: Identity) -> tuple[str, ...]:
    """Asks the certificate doctor first: the library signs with some certificates nobody may trust.

    Returns the extended key usages, of those that trust lists add, which the certificate needs.
    """
    minute = int(time.time() // 60)
    if not _failures(identity.chain_pem, (), minute):
        return ()
    extra = default_trust().ekus
    reasons = _failures(identity.chain_pem, extra, minute)
    if reasons:
        raise ProvenanceError(
            f"Signing with {identity.name!r} was refused: {' '.join(reasons)}", code="signing.refused"
        )
    return extra


@functools.lru_cache(maxsize=64)
def _failures(chain_pem: str, ekus: tuple[str, ...], _minute: int) -> tuple[str, ...]:
    from countermark.provenance.identities.doctor import examine

    return tuple(
        each.sentence
        for each in examine(chain_pem, ekus=ekus)
        if each.severity == "failure" and (each.where == "certificate 1" or "chain" in each.code)
    )


def _refused(identity: Identity, error: Exception) -> ProvenanceError:
    """The library's refusal, which it seldom explains."""
    if identity.timestamp_url and any(word in str(error).lower() for word in ("http", "stamp")):
        return ProvenanceError(
            f"The time-stamp authority {identity.timestamp_url} gave no time-stamp ({error}).",
            code="signing.timestamp",
            hint="Try again later, or sign without a time-stamp.",
        )
    return ProvenanceError(
        f"Signing with {identity.name!r} was refused: {error}",
        code="signing.refused",
        hint="Run the certificate doctor: countermark keys doctor CERT",
    )
