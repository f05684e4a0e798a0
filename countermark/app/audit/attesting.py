"""Statements of audits that an identity signed: written beside a report, and checked again elsewhere.

>>> attest(document, "release")                                       # doctest: +SKIP
>>> check_statement(Path("audit.intoto.json").read_bytes()).trusted   # doctest: +SKIP
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from countermark.core.errors import ProvenanceError
from countermark.provenance.identities.envelopes import seal, unseal
from countermark.provenance.identities.identity import Identity
from countermark.provenance.identities.store import get_identity
from countermark.provenance.identities.trust import Trust, resolve_trust
from countermark.reports.canonical import Document
from countermark.reports.intoto import PREDICATE, STATEMENT, statement

MEDIA_TYPE = "application/vnd.in-toto+json"


@dataclass(frozen=True)
class Statement:
    """A signed statement whose signature is good.

    Attributes:
        signer: Who signed it.
        trusted: Whether that is somebody on the trust list.
        problem: Why not, or empty.
        result: ``PASSED``, ``WARNED`` or ``FAILED``.
        subjects: SHA-256 of what was audited, by name.
        fits: Whether a report that was given is the one that was signed; None without one.
        content: The statement.
    """

    signer: str
    trusted: bool
    problem: str
    result: str
    subjects: dict[str, str]
    fits: bool | None
    content: dict[str, Any]


def attest(document: Document, identity: str | Identity = "default") -> bytes:
    """An in-toto statement of an audit's document in a DSSE envelope, signed.

    Args:
        document: As ``reports.audit_document`` gives it.
        identity: A stored identity, or its name.

    Raises:
        ConfigError: ``report.subject``: nothing that has a digest was audited.
        ProvenanceError: the identity cannot sign.
    """
    who = get_identity(identity) if isinstance(identity, str) else identity
    payload = json.dumps(statement(document), sort_keys=True, separators=(",", ":")).encode()
    return seal(payload, MEDIA_TYPE, who)


def check_statement(
    data: bytes, *, report: bytes | None = None, trust: Trust | Sequence[Trust] | None = None
) -> Statement:
    """Checks a signed statement, and whether it speaks of a report.

    Args:
        data: The envelope.
        report: The bytes of a JSON report.
        trust: Whose signature counts, see ``resolve_trust``.

    Raises:
        ProvenanceError: ``envelope.unreadable``, ``envelope.signature``, or ``statement.unknown`` when what
            was signed is no statement of an audit.
    """
    opened = unseal(data, resolve_trust(trust))
    try:
        content = json.loads(opened.payload)
        predicate = content["predicate"]
        known = content["_type"] == STATEMENT and content["predicateType"] == PREDICATE
        subjects = {str(each["name"]): str(each["digest"]["sha256"]) for each in content["subject"]}
        result = str(predicate["result"])
        digest = predicate["annotations"]["reportSha256"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _unknown() from error
    if not known or opened.payload_type != MEDIA_TYPE:
        raise _unknown()
    fits = None if report is None else hashlib.sha256(report).hexdigest() == digest
    return Statement(opened.signer, opened.trusted, opened.problem, result, subjects, fits, content)


def _unknown() -> ProvenanceError:
    return ProvenanceError(
        "What was signed is no statement of an audit.",
        code="statement.unknown",
        hint="Give a file that countermark audit run --statement wrote.",
    )
