"""Trust lists: whose certificates count as trusted, from when, from where.

>>> TrustList.load("newsroom.pem").name           # doctest: +SKIP
'newsroom'

A trust list is a PEM bundle of authorities; an official list of C2PA (ETSI TS 119 602 "list of trusted
entities", JSON); or a JSON file of our own with date and source::

    {"schema": "countermark/trust-list/1", "name": "…", "source": "https://…", "date": "2026-01-31",
     "ekus": ["1.2.3.4"], "anchors": ["-----BEGIN CERTIFICATE-----…"],
     "timestamp_anchors": ["-----BEGIN CERTIFICATE-----…"]}

By default these count: the user's own development authority, every list in ``<config>/trust``, and the
dated copy of C2PA's lists that comes with the package (``bundled``), unless the folder holds newer ones.

Authorities for signers and for time-stamps are kept apart: those that may only prove a time must not
vouch for a picture, though the library knows only one kind (see ``guards``).
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import datetime
import functools
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509

from countermark.core.errors import ProvenanceError
from countermark.core.files import atomic_write, config_dir
from countermark.provenance.identities.authority import authority_path, authority_pem
from countermark.provenance.identities.certificates import load_chain, to_pem

SCHEMA = "countermark/trust-list/1"
#: Names of C2PA's own lists; one in the user's folder takes the place of the copy in the package.
C2PA_LIST, C2PA_TIMESTAMP_LIST = "C2PA Trust List", "C2PA TSA Trust List"
_BUNDLE = Path(__file__).parent / "bundle"
_OID = re.compile(r"\d+(\.\d+){2,20}")
_HEADER = re.compile(r"^#\s*(name|source|issued|next update|kind):\s*(.+?)\s*$", re.MULTILINE)
_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n", re.DOTALL)
_ENDINGS = (".pem", ".crt", ".json")
_MAX_BYTES = 8 * 1024 * 1024
_TRUSTED = "/trusted"
#: How old a list without a date of its next issue may become, in days.
_OLD_DAYS = 400


@dataclass(frozen=True)
class TrustList:
    """Authorities that are trusted.

    Attributes:
        name: What to call it.
        anchors_pem: Certificates of authorities for signers, PEM.
        source: Where the list came from.
        date: When it was made, ISO 8601.
        ekus: Extended key usages that its signers may have besides those that C2PA knows.
        timestamps_pem: Certificates of authorities for time-stamps only, PEM. Those in
            ``anchors_pem`` may prove times, too.
        identities_pem: Certificates of authorities for CAWG identities, PEM; None for those in
            ``anchors_pem``. C2PA's own lists are for signers only.
        next_update: When the next issue is due, ISO 8601.
    """

    name: str
    anchors_pem: str
    source: str = ""
    date: str = ""
    ekus: tuple[str, ...] = ()
    timestamps_pem: str = ""
    identities_pem: str | None = None
    next_update: str = ""

    @property
    def eku_text(self) -> str:
        """``ekus`` as c2pa's setting wants them."""
        return "\n".join(self.ekus)

    @property
    def identity_anchors(self) -> str:
        """Authorities for CAWG identities, PEM."""
        return self.anchors_pem if self.identities_pem is None else self.identities_pem

    @property
    def size(self) -> int:
        """Number of authorities, for signers and for time-stamps."""
        return (self.anchors_pem + self.timestamps_pem).count("-----BEGIN CERTIFICATE-----")

    def outdated(self, today: datetime.date | None = None) -> str:
        """A sentence when the list is past its next issue (or 400 days old), else an empty text."""
        day = today or datetime.datetime.now(datetime.UTC).date()
        due = _day(self.next_update)
        made = _day(self.date)
        if due is None and made is not None:
            due = made + datetime.timedelta(days=_OLD_DAYS)
        if due is None or day <= due:
            return ""
        return (
            f"The trust list {self.name} of {self.date[:10]} is out of date (a new issue was due on "
            f"{due.isoformat()}). Get a new one with: countermark keys trust update FILE"
        )

    @classmethod
    def load(cls, path: Path | str) -> TrustList:
        """Reads a PEM bundle or a JSON trust list.

        Raises:
            ProvenanceError: ``trust.missing`` or ``trust.unreadable``.
        """
        path = Path(path)
        return cls.parse(_read(path), name=path.stem, source=str(path))

    @classmethod
    def parse(cls, data: bytes, *, name: str = "given", source: str = "") -> TrustList:
        """A trust list from the bytes of a PEM bundle or of either JSON form."""
        if data.lstrip()[:1] == b"{":
            return cls._from_json(data, name, source)
        try:
            pem = to_pem(*load_chain(data))
        except ProvenanceError as error:
            raise _unreadable(name, error.message) from error
        return cls._from_pem(data, pem, name, source)

    @classmethod
    def _from_pem(cls, data: bytes, pem: str, name: str, source: str) -> TrustList:
        """A PEM bundle, with the facts that its first lines may give as comments."""
        head = data[: data.find(b"-----BEGIN")][:4096].decode("utf-8", "replace")
        facts = dict(_HEADER.findall(head))
        if not facts:
            return cls(name, pem, source)
        official = facts.get("name") in (C2PA_LIST, C2PA_TIMESTAMP_LIST)
        stamps = facts.get("kind") == "time-stamps"
        return cls(
            facts.get("name", name),
            "" if stamps else pem,
            facts.get("source", source),
            facts.get("issued", ""),
            (),
            pem if stamps else "",
            "" if stamps or official else None,
            facts.get("next update", ""),
        )

    @classmethod
    def _from_json(cls, data: bytes, name: str, source: str) -> TrustList:
        try:
            content: Any = json.loads(data)
            if "LoTE" in content:
                return cls._from_lote(content["LoTE"], name, source)
            anchors, stamps = (
                "".join(to_pem(*load_chain(each)) for each in content.get(key, ()))
                for key in ("anchors", "timestamp_anchors")
            )
            ekus = tuple(str(each) for each in content.get("ekus", ()))
            known = content.get("schema") == SCHEMA and bool(anchors or stamps)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, ProvenanceError) as error:
            raise _unreadable(name, str(error)) from error
        if not known or not all(_OID.fullmatch(each) for each in ekus):
            raise _unreadable(name, f"it is no {SCHEMA}, or an extended key usage is no OID")
        return cls(
            str(content.get("name", name)),
            anchors,
            str(content.get("source", source)),
            str(content.get("date", "")),
            ekus,
            stamps,
            next_update=str(content.get("next_update", "")),
        )

    @classmethod
    def _from_lote(cls, content: Any, name: str, source: str) -> TrustList:
        """An official list: the certificates of every service whose status is trusted."""
        head = content["ListAndSchemeInformation"]
        scheme = _english(head.get("SchemeName")) or name
        found: list[x509.Certificate] = []
        for entity in content["TrustedEntitiesList"]:
            for service in entity["TrustedEntityServices"]:
                facts = service["ServiceInformation"]
                if not str(facts.get("ServiceStatus", "")).endswith(_TRUSTED):
                    continue
                for each in facts["ServiceDigitalIdentity"]["X509Certificates"]:
                    try:
                        der = base64.b64decode(str(each["val"]), validate=True)
                    except binascii.Error as error:
                        raise ValueError("a certificate is not base64") from error
                    found.append(x509.load_der_x509_certificate(der))
        if not found:
            raise ValueError("it names no trusted service")
        pem = to_pem(*dict.fromkeys(found))
        stamps = re.search(r"\bTSA\b|time.?stamp", scheme, re.IGNORECASE) is not None
        return cls(
            scheme,
            "" if stamps else pem,
            source,
            str(head.get("ListIssueDateTime", "")),
            (),
            pem if stamps else "",
            "",
            str(head.get("NextUpdate", "")),
        )


Trust = TrustList | Path | str | bytes


def bundled() -> tuple[TrustList, TrustList]:
    """The dated copies of C2PA's lists that come with the package: signers, and time-stamps."""
    return _bundled()


@functools.lru_cache(maxsize=1)
def _bundled() -> tuple[TrustList, TrustList]:
    """Not parsed: a test has done it, and it would cost every process 10 ms."""
    read = [(_BUNDLE / name).read_bytes() for name in ("c2pa.pem", "c2pa-tsa.pem")]
    signers, stamps = (
        TrustList._from_pem(each, "".join(_BLOCK.findall(each.decode())), "C2PA", "") for each in read
    )
    return signers, stamps


def default_lists() -> tuple[TrustList, ...]:
    """What counts by default: own authority, the lists in ``<config>/trust``, C2PA's lists."""
    return _default(*_state())[0]


def default_trust() -> TrustList:
    """``default_lists``, merged."""
    return _default(*_state())[1]


def trust_folder() -> Path:
    """Where a user's own trust lists lie."""
    return config_dir() / "trust"


def update_trust(path: Path | str) -> tuple[TrustList, Path]:
    """Checks a trust list and puts it into the user's folder, in place of an older one of its name.

    Raises:
        ProvenanceError: ``trust.missing``, ``trust.unreadable``, or ``trust.older`` when the list
            that counts now was issued later.
    """
    path = Path(path)
    data = _read(path)
    new = TrustList.parse(data, name=path.stem, source=str(path))
    for each in default_lists():
        if each.name == new.name and new.date and each.date > new.date:
            raise ProvenanceError(
                f"The trust list {new.name} in use is of {each.date[:10]}, newer than {new.date[:10]}.",
                code="trust.older",
                hint="Fetch the newest issue.",
            )
    stem = re.sub(r"[^a-z0-9]+", "-", new.name.lower()).strip("-") or "list"
    ending = ".json" if data.lstrip()[:1] == b"{" else ".pem"
    target = trust_folder() / (stem + ending)
    atomic_write(target, data, overwrite=True)
    for other in _ENDINGS:
        if other != ending:
            with contextlib.suppress(OSError):
                (trust_folder() / (stem + other)).unlink()
    return new, target


def _state() -> tuple[str, tuple[str, ...], tuple[tuple[int, int], ...]]:
    own, folder = _places(config_dir())
    files: list[str] = []
    with contextlib.suppress(FileNotFoundError):
        if os.access(folder, os.F_OK):  # an exception would cost more than all the rest
            files = sorted(each.path for each in os.scandir(folder) if each.name.endswith(_ENDINGS))
    return own, tuple(files), tuple(_stamp(each) for each in (own, *files))


@functools.lru_cache(maxsize=8)
def _places(configuration: Path) -> tuple[str, str]:
    """The development authority's certificate and the folder of trust lists."""
    return str(authority_path()), str(configuration / "trust")


@functools.lru_cache(maxsize=8)
def _default(
    own: str, files: tuple[str, ...], _stamps: tuple[tuple[int, int], ...]
) -> tuple[tuple[TrustList, ...], TrustList]:
    """The lists and their merger, read again when a file changes."""
    pem = authority_pem()
    lists = [TrustList("development authority", pem, own)] if pem else []
    lists += [TrustList.load(each) for each in files]
    given = {each.name for each in lists}
    lists += [each for each in bundled() if each.name not in given]
    return tuple(lists), merge(lists)


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
        "".join(each.timestamps_pem for each in found),
        "".join(each.identity_anchors for each in found),
    )


def _english(names: Any) -> str:
    for each in names if isinstance(names, list) else ():
        if isinstance(each, dict) and each.get("value"):
            return str(each["value"])[:200]
    return ""


def _day(text: str) -> datetime.date | None:
    try:
        return datetime.date.fromisoformat(text[:10])
    except ValueError:
        return None


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise _unreadable(str(path), f"it has more than {_MAX_BYTES:,} bytes")
        return path.read_bytes()
    except OSError as error:
        raise ProvenanceError(
            f"The trust list {path} cannot be opened: {error.strerror or error}.", code="trust.missing"
        ) from error


def _unreadable(name: str, why: str) -> ProvenanceError:
    return ProvenanceError(
        f"The trust list {name} cannot be used: {why}.",
        code="trust.unreadable",
        hint="Give a PEM bundle of authorities, an official C2PA list, or a JSON trust list.",
    )
