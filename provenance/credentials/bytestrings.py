"""Writes soft-binding values as the CBOR byte strings that C2PA asks for (2.x, 18.10.2).

The c2pa library takes assertions as JSON, which knows no byte strings: a value comes out as text
or as an array of numbers. So a text of the same length stands in for each value. The library
signs with a stand-in for the signature, too, and afterwards, in the finished manifest,

1. each value takes the place of its text, and the assertion's new hash that of the old one,
2. the claim is signed as it now is, and the signature takes the place of its stand-in.

Everything keeps its length and place, so the image's own hash holds. When a stand-in is not
found exactly once, nothing is written and an error is raised.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Sequence

from countermark.core.errors import ProvenanceError
from countermark.provenance.credentials.jumbf import CLAIM_TYPE, SIGNATURE_TYPE, manifest_boxes
from countermark.provenance.credentials.softbinding import SoftBinding
from countermark.provenance.credentials.timestamps import stamp
from countermark.provenance.identities.identity import Identity

_MAX_GAP = 64


class ByteStrings:
    """The stand-ins of one manifest and how to replace them.

    Args:
        bindings: The soft bindings.
        unique: A text that is unique to the manifest, such as its id.
    """

    def __init__(self, bindings: Sequence[SoftBinding], unique: str) -> None:
        self.stand_ins = [_repeat(f"{unique}/{n}", len(each.value)) for n, each in enumerate(bindings)]
        self._unique = unique
        self._pairs = [
            (_data(binding.alg, _text(text.encode())), _data(binding.alg, _bytes(binding.value)))
            for binding, text in zip(bindings, self.stand_ins, strict=True)
        ]

    def signature(self, size: int) -> bytes:
        """The stand-in for a signature of ``size`` bytes."""
        return _repeat(f"{self._unique}/signature", size).encode()

    def finish(self, store: bytes, to_sign: bytes, identity: Identity) -> bytes:
        """The manifest store with values, signature and, if the identity has one, time-stamp in place.

        Args:
            store: What the library made.
            to_sign: What it gave to be signed.
            identity: Who signs.

        Raises:
            ProvenanceError: ``softbinding.bytes`` when the library's output is not as expected;
                ``signing.timestamp`` when the authority fails.
        """
        for before, after in self._pairs:
            box = _superbox(store, before)
            final = _swap(box, before, after)
            old, new = (hashlib.sha256(each[8:]).digest() for each in (box, final))
            to_sign = _swap(to_sign, old, new)
            store = _swap(_swap(store, box, final), old, new)
        signature = identity.sign(to_sign)
        store = _swap(store, self.signature(identity.signature_size), signature)
        if identity.timestamp_url:
            store = stamp(store, to_sign, signature, identity.timestamp_url)
        return store

    def finish_signed(self, store: bytes, identity: Identity) -> bytes:
        """As ``finish``, for a store that was signed already: its last signature is made anew."""
        parts = {(kind, label): content for label, kind, content in manifest_boxes(store)}
        last = list(parts)[-1][1] if parts else ""
        signature, claim = parts.get((SIGNATURE_TYPE, last)), parts.get((CLAIM_TYPE, last))
        size = identity.signature_size
        if signature is None or claim is None:
            raise _unexpected()
        at = signature.find(b"\xd2\x84")
        cose = signature[at:]
        claim = claim[claim.find(b"cbor") + 4 :]
        head = _head(0x40, size)
        if at < 0 or not cose[2:3] or cose[-size - len(head) : -size] != head:
            raise _unexpected()
        protected, _ = _byte_string(cose[2:])
        to_sign = b"\x84\x6aSignature1" + _bytes(protected) + b"\x40" + _bytes(claim)
        store = _swap(store, cose[-size:], self.signature(size))
        return self.finish(store, to_sign, identity)

    def for_asset(self, asset: bytes, store: bytes, final: bytes) -> bytes:
        """A signed file with ``final`` where ``store`` is, in however many pieces it lies."""
        encoded = base64.b64encode(store)
        if asset.count(encoded) == 1:  # SVG
            return asset.replace(encoded, base64.b64encode(final))
        result = bytearray(asset)
        for at, place, length in _pieces(asset, store):
            result[place : place + length] = final[at : at + length]
        return _png_checksum(result) if asset.startswith(b"\x89PNG") else bytes(result)


def _repeat(seed: str, size: int) -> str:
    text = hashlib.sha256(seed.encode()).hexdigest()
    return (text * (size // len(text) + 1))[:size]


def _byte_string(data: bytes) -> tuple[bytes, int]:
    """A short CBOR byte string at the beginning of ``data``, and where it ends."""
    head = data[0]
    if 0x40 <= head <= 0x57:
        return data[1 : head - 0x3F], head - 0x3F
    width = {0x58: 1, 0x59: 2}.get(head)
    if width is None:
        raise _unexpected()
    size = int.from_bytes(data[1 : 1 + width], "big")
    return data[1 + width : 1 + width + size], 1 + width + size


def _text(content: bytes) -> bytes:
    return _head(0x60, len(content)) + content


def _bytes(content: bytes) -> bytes:
    return _head(0x40, len(content)) + content


def _head(kind: int, size: int) -> bytes:
    """The head of a CBOR string (RFC 8949, 3)."""
    if size < 24:
        return bytes([kind + size])
    return bytes([kind + 24, size]) if size < 256 else bytes([kind + 25]) + size.to_bytes(2, "big")


def _data(alg: str, value: bytes) -> bytes:
    """The content box of a soft-binding assertion, as the library writes it."""
    body = (
        b"\xa2" + _text(b"alg") + _text(alg.encode())
        + _text(b"blocks") + b"\x81\xa2" + _text(b"scope") + b"\xa0" + _text(b"value") + value
    )  # fmt: skip
    return (len(body) + 8).to_bytes(4, "big") + b"cbor" + body


def _superbox(store: bytes, content: bytes) -> bytes:
    """The JUMBF superbox (description, salt, content) that ends with ``content``."""
    end = store.find(content) + len(content)
    start = end
    while end > len(content) and (start := store.rfind(b"jumb", 0, start)) >= 4:
        size = int.from_bytes(store[start - 4 : start], "big")
        if start - 4 + size == end:
            return store[start - 4 : end]
    raise _unexpected()


def _swap(data: bytes, before: bytes, after: bytes) -> bytes:
    if len(before) != len(after) or data.count(before) != 1:
        raise _unexpected()
    return data.replace(before, after)


def _unexpected() -> ProvenanceError:
    return ProvenanceError(
        "The soft binding could not be written as a byte string with this version of c2pa-python.",
        code="softbinding.bytes",
        hint="Use another version of c2pa-python, or sign without soft bindings.",
    )


def _pieces(asset: bytes, store: bytes) -> list[tuple[int, int, int]]:
    """(offset in the store, offset in the file, length) of each piece of the store in the file.

    JPEG cuts a store into segments and GIF into blocks of 255 bytes; other formats keep it whole.
    """
    pieces: list[tuple[int, int, int]] = []
    at, place = 0, asset.find(store[:48])
    while place >= 0:
        length = _common(asset, place, store, at)
        pieces.append((at, place, length))
        at, place = at + length, place + length
        if at >= len(store):
            return pieces
        ahead = store[at : at + 16]
        place = next(
            (place + gap for gap in range(_MAX_GAP) if asset.startswith(ahead, place + gap)),
            -1,
        )
    raise ProvenanceError(
        "A soft binding cannot be written as a byte string into a file of this format.",
        code="softbinding.format",
        hint="Use PNG, JPEG, WebP, AVIF, TIFF or GIF, or write a sidecar.",
    )


def _common(asset: bytes, place: int, store: bytes, at: int) -> int:
    """Length of what both have in common from here."""
    low, high = 0, min(len(asset) - place, len(store) - at)
    while low < high:
        middle = (low + high + 1) // 2
        if asset[place + low : place + middle] == store[at + low : at + middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _png_checksum(data: bytearray) -> bytes:
    at = data.find(b"caBX")
    size = int.from_bytes(data[at - 4 : at], "big")
    data[at + 4 + size : at + 8 + size] = zlib.crc32(data[at : at + 4 + size]).to_bytes(4, "big")
    return bytes(data)
