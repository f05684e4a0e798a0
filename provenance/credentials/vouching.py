"""CAWG identity assertions: somebody vouches for a picture besides the one who signs it.

The library writes them for a signer that its settings describe, not for one that is handed over; so both
keys have to be here. The assertion covers the picture's hash and its actions (CAWG identity assertion 1.2).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from countermark.core.errors import ProvenanceError
from countermark.provenance.credentials.contexts import settings_of
from countermark.provenance.identities.certificates import key_to_pem
from countermark.provenance.identities.identity import Identity

if TYPE_CHECKING:
    import c2pa

#: What the assertion vouches for besides the hash; soft bindings get their values only afterwards.
REFERENCED = ("c2pa.actions.v2",)
ROLE = "cawg.creator"


class _Provider:
    """A context whose settings describe a signer; the library asks for this of what it takes as one."""

    has_signer = True

    def __init__(self, inner: c2pa.Context) -> None:
        self._inner = inner

    @property
    def is_valid(self) -> bool:
        return bool(self._inner.is_valid)

    @property
    def execution_context(self) -> Any:
        return self._inner.execution_context


def identity_context(known: c2pa.Context, identity: Identity, vouching: Identity, *, stamp: bool) -> Any:
    """A context like ``known`` that signs as ``identity`` and lets ``vouching`` vouch.

    Args:
        known: As ``context`` made it.
        identity: Who signs.
        vouching: Who vouches.
        stamp: Ask the signer's time-stamp authority while signing.

    Raises:
        ProvenanceError: ``identity.external`` when a key is held elsewhere.
    """
    import c2pa

    settings = dict(settings_of(known))
    settings["signer"] = {"local": _local(identity, stamp)}
    settings["cawg_x509_signer"] = {
        "local": {**_local(vouching, stamp), "referenced_assertions": list(REFERENCED), "roles": [ROLE]}
    }
    return _Provider(c2pa.Context.from_json(json.dumps(settings)))


def _local(identity: Identity, stamp: bool) -> dict[str, Any]:
    if identity._key is None:
        raise ProvenanceError(
            f"The key of {identity.name!r} is held elsewhere, and an identity assertion needs it here.",
            code="identity.external",
            hint="Sign without an identity assertion, or with stored identities.",
        )
    return {
        "alg": identity.algorithm,
        "sign_cert": identity.chain_pem,
        "private_key": key_to_pem(identity._key).decode(),
        "tsa_url": identity.timestamp_url if stamp else None,
    }
