"""Runs the c2pa builder once: settings, ingredients, signer, byte strings, errors in plain words."""

from __future__ import annotations

import functools
import hashlib
import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any
from urllib.parse import urlsplit

from countermark.core.errors import ProvenanceError
from countermark.provenance.bytestrings import ByteStrings
from countermark.provenance.contexts import context
from countermark.provenance.identity import Identity
from countermark.provenance.ingredients import add_ingredient
from countermark.provenance.trust import default_trust


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
    output: IO[bytes] | None = None,
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
        output: Where the signed image is written; else it is returned.

    Returns:
        The signed image (unchanged when neither embedded nor given an address; empty when it was
        written to ``output``) and the store.

    Raises:
        ProvenanceError: ``signing.refused``, ``signing.timestamp``, ``history.unreadable``,
            ``key.callback`` or ``softbinding.bytes``.
    """
    import c2pa

    trust = default_trust()
    _require_health(identity, trust.ekus)
    settings = context(
        trust.anchors_pem if ingredients else "",
        trust.eku_text,
        thumbnail=thumbnail,
        host=urlsplit(identity.timestamp_url or "").hostname or "",
    )
    buffer = io.BytesIO() if output is None or strings is not None else output
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
            with _signer(identity, strings, failures, to_sign) as signer:
                store = builder.sign(signer, mime, io.BytesIO(data), buffer)
    except c2pa.C2paError as error:
        if failures:
            raise failures[0] from error
        raise _refused(identity, error) from error
    signed = buffer.getvalue() if isinstance(buffer, io.BytesIO) else b""
    if strings is not None:
        final = strings.finish(store, to_sign[-1], identity)
        signed = strings.for_asset(signed, store, final) if embed else signed
        store = final
        if output is not None:
            output.write(signed)
            signed = b""
    return signed, store


class HashingWriter:
    """A writable stream over a file that knows the SHA-256 of what was written.

    While writing goes on where it stopped, the hash is taken along; after a jump back it is taken
    from the file at the end.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._digest = hashlib.sha256()
        self._end = 0
        self._at = 0
        self._straight = True

    def write(self, data: bytes) -> int:
        if self._at != self._end:
            self._straight = False
        elif self._straight:
            self._digest.update(data)
        written = self._stream.write(data)
        self._at += written
        self._end = max(self._end, self._at)
        return written

    def read(self, size: int = -1) -> bytes:
        found = self._stream.read(size)
        self._at += len(found)
        return found

    def readinto(self, target: bytearray | memoryview) -> int:
        found = self.read(len(target))
        target[: len(found)] = found
        return len(found)

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = self._stream.seek(offset, whence)
        return self._at

    def tell(self) -> int:
        return self._at

    def flush(self) -> None:
        self._stream.flush()

    def truncate(self, size: int | None = None) -> int:
        self._straight = False
        return self._stream.truncate(size)

    def hexdigest(self) -> str:
        """The SHA-256 of the file as it is now."""
        if self._straight:
            return self._digest.hexdigest()
        self._stream.seek(0)
        return hashlib.file_digest(self._stream, "sha256").hexdigest()  # type: ignore[arg-type]


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


def _require_health(identity: Identity, ekus: tuple[str, ...]) -> None:
    """Asks the certificate doctor first: the library signs with some certificates nobody may trust."""
    reasons = _failures(identity.chain_pem, ekus, int(time.time() // 60))
    if reasons:
        raise ProvenanceError(
            f"Signing with {identity.name!r} was refused: {' '.join(reasons)}", code="signing.refused"
        )


@functools.lru_cache(maxsize=64)
def _failures(chain_pem: str, ekus: tuple[str, ...], _minute: int) -> tuple[str, ...]:
    from countermark.provenance.doctor import examine

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
