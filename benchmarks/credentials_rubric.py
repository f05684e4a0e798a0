"""Holds our rubric against the official evaluator, and what we sign against both.

    python benchmarks/credentials_rubric.py RUBRICS JSON_FORMULA [FOLDER ...]

``RUBRICS`` is the folder ``asset-rubrics`` of a checkout of github.com/c2pa-org/conformance-public,
``JSON_FORMULA`` the folder ``src`` of one of github.com/adobe/json-formula-py; further folders hold signed
files of others. The development identity is used; nothing is fetched.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import c2pa
import numpy as np

from countermark.core.images import encode_image
from countermark.provenance.credentials.contexts import context, mime_of
from countermark.provenance.credentials.ingredients import Ingredient
from countermark.provenance.credentials.redaction import redact_bytes
from countermark.provenance.credentials.rubric import examine_crjson
from countermark.provenance.credentials.signing import sign_bytes
from countermark.provenance.credentials.softbinding import SoftBinding

RUBRIC = "asset-rubric-conformance0.2-spec2.4.yml"
FORMATS = ("jpeg", "png", "webp", "gif", "tiff", "avif")


def ours() -> Iterator[tuple[str, bytes]]:
    """What we sign: made, edited, re-signed, placed, redacted, in every format."""
    pixels = np.random.default_rng(1).integers(0, 255, (96, 128, 3), dtype=np.uint8)
    for format in FORMATS:
        plain = encode_image(pixels, format)
        marks = (SoftBinding("org.countermark.tile.1", bytes(8)),)
        made = sign_bytes(plain, generator="model/1", prompt="p", seed=1, soft_bindings=marks).data
        yield f"{format} made", made
        yield f"{format} edited", sign_bytes(plain, parents=[plain], generator="model/1").data
        yield f"{format} opened", sign_bytes(plain, parents=[plain]).data
        yield f"{format} re-signed", sign_bytes(made).data
        yield f"{format} placed", sign_bytes(plain, parents=[Ingredient(made, "componentOf")] * 2).data
        yield f"{format} input", sign_bytes(plain, parents=[Ingredient(made, "inputTo")], model="m").data
        yield f"{format} redacted", redact_bytes(made).data


def official(evaluate: Any, rubric: Path, document: dict[str, Any]) -> dict[str, bool]:
    """{rule: whether it holds} by the official evaluator."""
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        path = Path(folder) / "asset.json"
        path.write_text(json.dumps(document))
        found = evaluate(str(rubric), str(path), spec_version="2.4")
    rows = {
        row["trait"].split(":")[-1]: outcome == "true"
        for outcome in ("true", "false", "warning")
        for group in found[outcome].values()
        for row in group
    }
    return rows


def main(rubrics: str, formula: str, *folders: str) -> None:
    """Prints a line a file; exits 1 on any difference or on a file of ours that does not pass."""
    sys.path[:0] = [rubrics, formula]
    from c2pa_conformance_rubric_evaluator import evaluate_asset_against_rubric as evaluate

    others = [p for folder in folders for p in sorted(Path(folder).rglob("*")) if p.is_file()]
    files = [*ours(), *((path.name, path.read_bytes()) for path in others)]
    differ = failed = 0
    for number, (name, data) in enumerate(files):
        mime = mime_of(data)
        try:
            with c2pa.Reader(mime or "", io.BytesIO(data), context=context()) as reader:
                document = json.loads(reader.crjson())
        except Exception:
            continue
        mine = {each.id: each.passed for each in examine_crjson(document)}
        theirs = official(evaluate, Path(rubrics) / RUBRIC, document)
        different = sorted(k for k in mine.keys() | theirs.keys() if mine.get(k) != theirs.get(k))
        differ += bool(different)
        own = number < len(FORMATS) * 7
        failed += own and not all(theirs.values())
        print(
            f"{name:40} official {sum(theirs.values())} of {len(theirs)}, ours {sum(mine.values())}",
            different or "",
        )
        if own and not all(theirs.values()):
            print("   ", [k for k, v in theirs.items() if not v])
    print(f"{differ} files differ, {failed} of ours fail")
    sys.exit(bool(differ or failed))


if __name__ == "__main__":
    main(*sys.argv[1:])
