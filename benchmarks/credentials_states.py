"""Our states beside the library's own, file by file: everything that differs, and counts.

    python benchmarks/credentials_states.py FOLDER ...

Folders are walked; files that C2PA cannot be carried in are left out. Both sides get the same authorities
(the development authority and C2PA's bundled lists) and neither fetches anything.
"""

from __future__ import annotations

import io
import json
import sys
from collections import Counter
from pathlib import Path

import c2pa

from countermark.core.errors import CountermarkError
from countermark.provenance.credentials.contexts import context, mime_of
from countermark.provenance.credentials.verification import verify_image
from countermark.provenance.identities.trust import default_trust

STATES = {"Trusted": "trusted", "Valid": "intact", "Invalid": "invalid"}


def library(data: bytes, mime: str) -> str:
    """The library's state in our words, ``absent``, or its error."""
    trust = default_trust()
    settings = context(trust.anchors_pem + trust.timestamps_pem, trust.eku_text)
    try:
        with c2pa.Reader(mime, io.BytesIO(data), context=settings) as reader:
            return STATES[json.loads(reader.json())["validation_state"]]
    except c2pa.C2paError.ManifestNotFound:
        return "absent"
    except c2pa.C2paError as error:
        return f"error: {str(error)[:70]}"


def main(*folders: str) -> None:
    """Prints a line a difference, then how often each pair of states occurs."""
    pairs: Counter[str] = Counter()
    for path in sorted(p for folder in folders for p in Path(folder).rglob("*") if p.is_file()):
        data = path.read_bytes()
        mime = mime_of(data) if data else None
        if mime is None:
            continue
        found, theirs = None, library(data, mime)
        try:
            found = verify_image(data)
            mine = str(found.state)
        except CountermarkError as error:
            mine = error.code
        pairs[f"{mine} / library {theirs.split(':')[0]}"] += 1
        if mine != theirs:
            code = next((each.code for each in found.problems), "") if found is not None else ""
            print(f"{path.name:58} {mine:9} library {theirs:10} {code}", flush=True)
    for pair, count in sorted(pairs.items()):
        print(f"{pair:34} {count}")
    print(sum(pairs.values()), "files")


if __name__ == "__main__":
    main(*sys.argv[1:])
