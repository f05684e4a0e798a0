"""Authorities and the chains below them: which could vouch for what a file carries, and which do.

>>> relevant([b"no certificate"], "")
''
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Iterable

from cryptography import x509
from cryptography.x509.oid import NameOID

from countermark.provenance.identities.certificates import load_chain, to_pem


def relevant(stores: Iterable[bytes], *lists: str) -> str:
    """Those certificates of ``lists`` (PEM) whose names occur in manifest stores, as PEM.

    An authority can only vouch for a chain in which its name stands, as an issuer or as itself; and the
    library takes the longer, the more authorities it is given (0.4 ms for fifty).
    """
    carried = tuple(stores)
    named = {name for each in carried for name in _common_names(each)}
    chosen: list[str] = []
    for pem in lists:
        common, others = _blocks(pem)
        found = [block for name in named if name in common for block in common[name]]
        found += [block for name, block in others if any(name in each for each in carried)]
        chosen += (text for _, text in sorted(found))
    return "".join(chosen)


#: The head of a common name in DER: the type (2.5.4.3), then a string of less than 128 bytes.
_COMMON = re.compile(rb"\x06\x03\x55\x04\x03[\x0c\x13\x14\x16]([\x00-\x7f])")


def _common_names(store: bytes) -> set[bytes]:
    """The common names in all certificates of a manifest store, wherever they stand in it."""
    return {store[each.end() : each.end() + each.group(1)[0]] for each in _COMMON.finditer(store)}


_Block = tuple[int, str]


@functools.lru_cache(maxsize=16)
def _blocks(pem: str) -> tuple[dict[bytes, list[_Block]], list[tuple[bytes, _Block]]]:
    """(place, PEM) of every certificate by its common name; and of those without one, by another name."""
    common: dict[bytes, list[_Block]] = {}
    others: list[tuple[bytes, _Block]] = []
    for place, each in enumerate(load_chain(pem) if pem else ()):
        parts = each.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        value = parts[0].value if parts else next((part.value for part in each.subject), b"")
        name = value.encode() if isinstance(value, str) else value
        block = (place, to_pem(each))
        if parts and len(name) < 128:
            common.setdefault(name, []).append(block)
        else:
            others.append((name, block))
    return common, others


@functools.lru_cache(maxsize=256)
def vouched_for(chain: tuple[bytes, ...], anchors_pem: str) -> bool:
    """Whether a certificate chain (DER, the signer first) leads to one of the authorities.

    Only issuance is looked at; validity and uses are the library's part.
    """
    anchors = _by_subject(anchors_pem)
    certificates = []
    for each in chain:
        with contextlib.suppress(ValueError):  # what only looks like a certificate vouches for nothing
            certificates.append(x509.load_der_x509_certificate(each))
    current = certificates[0] if certificates else None
    for _ in range(10):
        if current is None:
            return False
        if any(current == each for each in anchors.get(_name(current.subject), ())):
            return True
        issuer = _name(current.issuer)
        if any(_issued(current, each) for each in anchors.get(issuer, ())):
            return True
        here = current
        current = next(
            (e for e in certificates if e != here and _name(e.subject) == issuer and _issued(here, e)), None
        )
    return False


@functools.lru_cache(maxsize=8)
def _by_subject(pem: str) -> dict[bytes, list[x509.Certificate]]:
    found: dict[bytes, list[x509.Certificate]] = {}
    for each in load_chain(pem) if pem else ():
        found.setdefault(_name(each.subject), []).append(each)
    return found


def _name(name: x509.Name) -> bytes:
    return name.public_bytes()


def _issued(below: x509.Certificate, above: x509.Certificate) -> bool:
    try:
        below.verify_directly_issued_by(above)
    except Exception:  # several kinds: not the issuer, not its key, or an algorithm that is not known
        return False
    return True
