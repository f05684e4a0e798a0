"""Writes the copies of C2PA's trust lists that come with the package, as PEM with date, source and digest.

    python tools/trust_bundle.py CONFORMANCE_PUBLIC COMMIT

``CONFORMANCE_PUBLIC`` is a checkout of github.com/c2pa-org/conformance-public (CC BY 4.0) at ``COMMIT``;
only the certificates are taken from its ``trust-list`` folder.
"""

from __future__ import annotations

import sys
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256

from countermark.core.files import atomic_write, sha256_bytes
from countermark.provenance.identities import trust
from countermark.provenance.identities.certificates import load_chain, to_pem

FILES = {"c2pa.pem": "C2PA-TRUST-LIST.json", "c2pa-tsa.pem": "C2PA-TSA-TRUST-LIST.json"}


def main(checkout: str, commit: str) -> None:
    """Writes both files."""
    for target, name in FILES.items():
        data = (Path(checkout) / "trust-list" / name).read_bytes()
        found = trust.TrustList.parse(data, source=f"github.com/c2pa-org/conformance-public {commit}")
        pem = found.timestamps_pem or found.anchors_pem
        parts = [
            f"# name: {found.name}\n# kind: {'time-stamps' if found.timestamps_pem else 'signers'}\n"
            f"# issued: {found.date}\n# next update: {found.next_update}\n"
            f"# source: https://github.com/c2pa-org/conformance-public/blob/{commit}/trust-list/{name}\n"
            f"# sha256 of the source: {sha256_bytes(data)}\n"
            "# licence: CC BY 4.0, Coalition for Content Provenance and Authenticity; only the certificates\n"
        ]
        for each in load_chain(pem):
            parts.append(f"\n# {each.subject.rfc4514_string()}\n# {each.fingerprint(SHA256()).hex()}\n")
            parts.append(to_pem(each))
        atomic_write(Path(trust._BUNDLE) / target, "".join(parts), overwrite=True)


if __name__ == "__main__":
    main(*sys.argv[1:3])
