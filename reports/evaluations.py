"""Evaluation documents as tables: one line a figure, the delivery conditions side by side.

>>> rows = [{"name": "ECE", "slice": "", "unit": "", "condition": c, "interval": {"value": v}}
...         for c, v in (("native", 0.02), ("q75", 0.05))]
>>> table = tabulate({"figures": rows})
>>> table.conditions, [(line.name, [cell["value"] for cell in line.cells]) for line in table.lines]
(('native', 'q75'), [('ECE', [0.02, 0.05])])
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from countermark.reports.text import figure

Cell = Mapping[str, Any]


@dataclass(frozen=True)
class Line:
    """One figure of one slice; ``cells`` holds an interval or None for every condition."""

    name: str
    slice: str
    unit: str
    cells: tuple[Cell | None, ...]

    @property
    def images(self) -> str:
        """Number of images behind the figure: ``12``, or ``10-12`` where conditions differ."""
        counts = sorted({int(cell["n"]) for cell in self.cells if cell and cell.get("n") is not None})
        return "-".join(str(n) for n in dict.fromkeys((counts[0], counts[-1]))) if counts else ""


@dataclass(frozen=True)
class Table:
    """Conditions in the order in which they first stand in the document, and the lines."""

    conditions: tuple[str, ...]
    lines: tuple[Line, ...]


def tabulate(document: Mapping[str, Any]) -> Table:
    """Figures with the same name and slice on one line, in the document's order.

    A figure without a condition stands in the first column; two with the same name, slice and
    condition get lines of their own.
    """
    named = list(dict.fromkeys(row["condition"] for row in document["figures"] if row["condition"]))
    conditions = tuple(named) or ("",)
    found: dict[tuple[str, str, str, int], list[Cell | None]] = {}
    for row in document["figures"]:
        place = conditions.index(row["condition"]) if row["condition"] else 0
        copy = 0
        while True:
            key = (row["name"], row["slice"], row["unit"], copy)
            cells = found.setdefault(key, [None] * len(conditions))
            if cells[place] is None:
                cells[place] = row["interval"]
                break
            copy += 1
    return Table(conditions, tuple(Line(*key[:3], tuple(cells)) for key, cells in found.items()))


def bounds(cell: Cell | None, unit: str) -> str:
    """The interval of a cell for people; empty without one."""
    if not cell or cell.get("low") is None or cell.get("high") is None:
        return ""
    return f"{figure(cell['low'], unit)} … {figure(cell['high'], unit)}"


def measured(cell: Cell | None, unit: str) -> str:
    """The value of a cell for people; empty where nothing was measured."""
    return "" if cell is None else figure(cell.get("value"), unit)
