"""Puts runs of ``benchmarks/watermark.py`` side by side, and their pictures together by kind.

    python benchmarks/watermark_sets.py docs/watermark-sets.json --drawings gimp-help openclipart

The file holds the JSON of one or more runs by name. Prints a table of Countermark's rows: all pictures but
those of the folders that are called drawings, those, and each run by itself.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from watermark import markdown, summarise

OWN = "countermark"
PHOTOGRAPHS, DRAWINGS = "photographs, paintings, generated pictures", "drawings, windows, star charts"


def columns(runs: dict[str, dict], drawings: list[str]) -> dict[str, dict]:
    """Summaries by the name of the column."""
    rows = [row for run in runs.values() for row in run["rows"] if row["scheme"] == OWN]
    drawn = [row for row in rows if row["path"].split("/")[0] in drawings]
    photographs = [row for row in rows if row not in drawn]
    groups = {PHOTOGRAPHS: photographs, DRAWINGS: drawn, **{name: run["rows"] for name, run in runs.items()}}
    tables = {name: summarise(group) for name, group in groups.items()}
    return {name: table[OWN] for name, table in tables.items() if OWN in table}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--drawings", nargs="*", default=[], help="names of folders")
    arguments = parser.parse_args()
    print(markdown(columns(json.loads(arguments.file.read_text()), arguments.drawings)), end="")


if __name__ == "__main__":
    main()
