"""Asks an RFC 3161 authority for a time-stamp and puts it into a finished signature.

The library does this itself while it signs. It cannot where soft-binding values are put in place
afterwards (``bytestrings``), because the signature is made last; there, this does it. The stamp
takes room from the padding of the COSE signature, so every length stays as it was.

Sources: RFC 3161; C2PA 2.x "Storing the time-stamp" (``sigTst2``); RFC 9052, 4.4.
"""

from __future__ import annotations

import hashlib
import http.client
import secrets
from urllib.parse import urlsplit

from countermark.core.errors import ProvenanceError

_SHA256 = bytes.fromhex("300b0609608648016503040201")  # AlgorithmIdentifier without parameters
_HEAD = b"\x84\x6aSignature1"
_MAX_REPLY = 256 * 1024
_TIMEOUT = 20


def stamp(store: bytes, signed: bytes, signature: bytes, url: str) -> bytes:
    """The manifest store with a time-stamp on its last signature.

    Args:
        store: The finished store; its signature has a ``pad`` of zeros and no time-stamp.
        signed: What was signed: a COSE ``Sig_structure``.
        signature: The signature.
        url: Address of the authority; the one host that is reached.

    Raises:
        ProvenanceError: ``signing.timestamp`` when the authority does not answer as it should,
            or its answer is larger than the padding.
    """
    protected = _protected(signed)
    token = ask(url, b"\x84\x70CounterSignature" + _bytes(protected) + b"\x40" + _bytes(_bytes(signature)))
    header = _bytes(protected) + b"\xa1\x63pad"
    at = store.find(header)
    if at < 0 or store.count(header) != 1 or store[at + len(header)] != 0x59:
        raise _failed(url, "the library's signature is laid out in a way that is not known")
    start = at + len(header) + 3
    room = int.from_bytes(store[start - 2 : start], "big")
    entry = b"\x67sigTst2\xa1\x69tstTokens\x81\xa1\x63val" + _bytes(token)
    left = room - len(entry)
    if left < 256:
        raise _failed(url, f"its stamp of {len(token)} bytes is larger than the room for it")
    stamped = _bytes(protected) + b"\xa2" + entry + b"\x63pad\x59" + left.to_bytes(2, "big") + bytes(left)
    return store[:at] + stamped + store[start + room :]


def ask(url: str, data: bytes) -> bytes:
    """The DER time-stamp token of ``url`` for ``data`` (SHA-256). Redirects are not followed.

    Raises:
        ProvenanceError: ``signing.timestamp``.
    """
    imprint, nonce = hashlib.sha256(data).digest(), secrets.token_bytes(8)
    number = _der(0x02, b"\x01" + nonce)  # positive
    query = _der(0x30, b"\x02\x01\x01" + _der(0x30, _SHA256 + _der(0x04, imprint)) + number + b"\x01\x01\xff")
    reply = _post(url, query)
    try:
        body, _ = _value(reply, 0x30)
        status, token = _value(body, 0x30)
        granted, _ = _value(status, 0x02)
        content, _ = _value(token, 0x30)
    except (ValueError, IndexError) as error:
        raise _failed(url, "its answer is no RFC 3161 reply") from error
    if int.from_bytes(granted, "big") > 1:
        raise _failed(url, f"it refused (status {int.from_bytes(granted, 'big')})")
    if imprint not in content or nonce not in content:
        raise _failed(url, "its stamp is for something else")
    return _der(0x30, content)


def _post(url: str, query: bytes) -> bytes:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _failed(url, "it is no http or https address")
    connection = kind(parts.hostname, parts.port, timeout=_TIMEOUT)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", path, query, {"Content-Type": "application/timestamp-query"})
        response = connection.getresponse()
        reply = response.read(_MAX_REPLY)
        if response.status != 200:
            raise _failed(url, f"it answered with status {response.status}")
        return reply
    except (OSError, http.client.HTTPException) as error:
        raise _failed(url, str(error) or type(error).__name__) from error
    finally:
        connection.close()


def _protected(signed: bytes) -> bytes:
    """The protected header inside a ``Sig_structure``."""
    if not signed.startswith(_HEAD):
        raise ProvenanceError("What is to be signed is no COSE signature.", code="signing.timestamp")
    position = len(_HEAD)
    head = signed[position]
    if 0x40 <= head <= 0x57:
        size, position = head - 0x40, position + 1
    else:
        width = {0x58: 1, 0x59: 2}[head]
        size = int.from_bytes(signed[position + 1 : position + 1 + width], "big")
        position += 1 + width
    return signed[position : position + size]


def _bytes(content: bytes) -> bytes:
    """A CBOR byte string (RFC 8949, 3)."""
    size = len(content)
    if size < 24:
        return bytes([0x40 + size]) + content
    return (bytes([0x58, size]) if size < 256 else b"\x59" + size.to_bytes(2, "big")) + content


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    width = (size.bit_length() + 7) // 8
    return bytes([tag, 0x80 + width]) + size.to_bytes(width, "big") + content


def _value(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """Content of the first DER element and what follows it; ValueError for another tag or length."""
    if data[0] != tag:
        raise ValueError("tag")
    size, start = data[1], 2
    if size & 0x80:
        width = size & 0x7F
        size, start = int.from_bytes(data[2 : 2 + width], "big"), 2 + width
    if start + size > len(data):
        raise ValueError("length")
    return data[start : start + size], data[start + size :]


def _failed(url: str, why: str) -> ProvenanceError:
    return ProvenanceError(
        f"The time-stamp authority {url} gave no time-stamp: {why}.",
        code="signing.timestamp",
        hint="Try again later, or sign without a time-stamp.",
    )
