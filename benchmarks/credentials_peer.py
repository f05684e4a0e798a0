"""A second implementation beside ours: `encypher-c2pa` (PyPI) reads what we sign, and both read others files.

    pip install --target peer encypher-c2pa==1.7.1
    PYTHONPATH=peer python benchmarks/credentials_peer.py [FOLDER ...]

Nothing is fetched and nothing reported: the peer's network and telemetry are switched off. Our states are
compared with its ``validation_state``; only our own authority and C2PA's bundled lists are trusted.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.credentials_rubric import ours
from countermark.core.errors import CountermarkError
from countermark.provenance.credentials.contexts import mime_of
from countermark.provenance.credentials.verification import verify_image
from countermark.provenance.identities.authority import authority_pem

STATES = {"Trusted": "trusted", "Valid": "intact", "Invalid": "invalid"}


def peer(data: bytes, mime: str) -> tuple[str, list[str]]:
    """The peer's state in our words, and its failures."""
    import encypher_c2pa

    try:
        report: Any = encypher_c2pa.verify(
            data, mime, trust_pem=authority_pem(), telemetry=False, online=False
        )
    except Exception as error:  # whatever it raises on files that it does not read
        return f"error ({str(error)[:60]})", []
    if not report.get("present"):
        return "absent", []
    failures = report.get("validation_results", {}).get("failure", [])
    return STATES.get(report["validation_state"], "?"), [each["code"] for each in failures]


def main(*folders: str) -> None:
    """Prints every difference and counts; exits 1 when the peer does not read ours as we do."""
    own = list(ours())
    others = [p for folder in folders for p in sorted(Path(folder).rglob("*")) if p.is_file()]
    pairs: Counter[tuple[str, str]] = Counter()
    wrong = 0
    for number, (name, data) in enumerate([*own, *((p.name, p.read_bytes()) for p in others)]):
        mime = mime_of(data)
        if mime is None:
            continue
        try:
            mine = str(verify_image(data).state)
        except CountermarkError as error:
            mine = error.code
        theirs, failures = peer(data, mime)
        pairs[("ours" if number < len(own) else "others", f"{mine} / {theirs}")] += 1
        if mine != theirs:
            wrong += number < len(own)
            print(f"{name:52} {mine:10} peer {theirs:10} {', '.join(failures)[:100]}", flush=True)
    for (whose, states), count in sorted(pairs.items()):
        print(f"{whose:8} {states:24} {count}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main(*sys.argv[1:])
