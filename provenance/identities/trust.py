"""Trust lists: whose certificates count as trusted, from when, from where.

>>> TrustList.load("newsroom.pem").name           # doctest: +SKIP
'newsroom'

A trust list is a PEM bundle of authorities, or a JSON file with their date and source::

    {"schema": "countermark/trust-list/1", "name": "…", "source": "https://…", "date": "2026-01-31",
     "ekus": ["1.3.6.1.5.5.7.3.36"], "anchors": ["-----BEGIN CERTIFICATE-----…"]}

By default the user's own development authority and every list in ``<config>/trust`` count.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from countermark.core.errors import ProvenanceError
from countermark.core.files import config_dir
from countermark.provenance.identities.authority import authority_path, authority_pem
from countermark.provenance.identities.certificates import load_chain, to_pem

SCHEMA = "countermark/trust-list/1"
_OID = re.compile(r"\d+(\.\d+){2,20}")
_ENDINGS = (".pem", ".crt", ".json")
_MAX_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class TrustList:
    """Authorities that are trusted.

    Attributes:
        name: What to call it.
        anchors_pem: Their certificates, PEM.
        source: Where the list came from.
        date: When it was made, ISO 8601.
        ekus: Extended key usages that its signers may have besides the standard ones.
    """

    name: str
    anchors_pem: str
    source: str = ""
    date: str = ""
    ekus: tuple[str, ...] = ()

    @property
    def eku_text(self) -> str:
        """``ekus`` as c2pa's setting wants them."""
        return "\n".join(self.ekus)

    @classmethod
    def load(cls, path: Path | str) -> TrustList:
        """Reads a PEM bundle or a JSON trust list.

        Raises:
            ProvenanceError: ``trust.missing`` or ``trust.unreadable``.
        """
        path = Path(path)
        try:
            if path.stat().st_size > _MAX_BYTES:
                raise _unreadable(str(path), f"it has more than {_MAX_BYTES:,} bytes")
            data = path.read_bytes()
        except OSError as error:
            raise ProvenanceError(
                f"The trust list {path} cannot be opened: {error.strerror or error}.", code="trust.missing"
            ) from error
        return cls.parse(data, name=path.stem, source=str(path))

    @classmethod
    def parse(cls, data: bytes, *, name: str = "given", source: str = "") -> TrustList:
        """A trust list from the bytes of a PEM bundle or a JSON trust list."""
        if data.lstrip()[:1] == b"{":
            return cls._from_json(data, name, source)
        try:
            chain = load_chain(data)
        except ProvenanceError as error:
            raise _unreadable(name, error.message) from error
        return cls(name, to_pem(*chain), source)

    @classmethod
    def _from_json(cls, data: bytes, name: str, source: str) -> TrustList:
        try:
            content: Any = json.loads(data)
            anchors = "".join(to_pem(*load_chain(each)) for each in content["anchors"])
            ekus = tuple(str(each) for each in content.get("ekus", ()))
        except (ValueError, KeyError, TypeError, AttributeError, ProvenanceError) as error:
            raise _unreadable(name, str(error)) from error
        if content.get("schema") != SCHEMA or not all(_OID.fullmatch(each) for each in ekus):
            raise _unreadable(name, f"it is no {SCHEMA}, or an extended key usage is no OID")
        return cls(
            str(content.get("name", name)),
            anchors,
            str(content.get("source", source)),
            str(content.get("date", "")),
            ekus,
        )


Trust = TrustList | Path | str | bytes


def default_trust() -> TrustList:
    """The development authority of this user and the lists in ``<config>/trust``, merged."""
    own, folder = _places(config_dir())
    files: list[str] = []
    with contextlib.suppress(FileNotFoundError):
        if os.access(folder, os.F_OK):  # an exception would cost more than all the rest
            files = sorted(each.path for each in os.scandir(folder) if each.name.endswith(_ENDINGS))
    return _default(own, tuple(files), tuple(_stamp(each) for each in (own, *files)))


@functools.lru_cache(maxsize=8)
def _places(configuration: Path) -> tuple[str, str]:
    """The development authority's certificate and the folder of trust lists."""
    return str(authority_path()), str(configuration / "trust")


@functools.lru_cache(maxsize=8)
def _default(own: str, files: tuple[str, ...], _stamps: tuple[tuple[int, int], ...]) -> TrustList:
    """The merged lists, read again when a file changes."""
    pem = authority_pem()
    lists = [TrustList("development authority", pem, own)] if pem else []
    return merge([*lists, *(TrustList.load(each) for each in files)])


def _stamp(path: str) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


def resolve_trust(trust: Trust | Sequence[Trust] | None) -> TrustList:
    """One trust list from what a caller gave: None for the default, a list, a path, PEM, or several.

    Text is a path unless it holds ``-----BEGIN``. An empty sequence trusts nobody.
    """
    if trust is None:
        return default_trust()
    if isinstance(trust, TrustList):
        return trust
    if isinstance(trust, bytes):
        return TrustList.parse(trust)
    if isinstance(trust, str) and "-----BEGIN" in trust:
        return TrustList.parse(trust.encode())
    if isinstance(trust, (str, Path)):
        return TrustList.load(trust)
    return merge([resolve_trust(each) for each in trust])


def merge(lists: Iterable[TrustList]) -> TrustList:
    """Several trust lists as one."""
    found = list(lists)
    return TrustList(
        ", ".join(each.name for each in found) or "nobody",
        "".join(each.anchors_pem for each in found),
        ", ".join(each.source for each in found if each.source),
        max((each.date for each in found), default=""),
        tuple(dict.fromkeys(oid for each in found for oid in each.ekus)),
    )


def _unreadable(name: str, why: str) -> ProvenanceError:
    return ProvenanceError(
        f"The trust list {name} cannot be used: {why}.",
        code="trust.unreadable",
        hint="Give a PEM bundle of authorities, or a JSON trust list.",
    )
