"""A long list of pictures that is filtered and sorted without a script: by the style sheet alone.

Radio buttons stand before the list; ``:has()`` lets a button that is chosen hide cards, and ``order``
puts them elsewhere. A browser too old for either shows everything, the worst first.

>>> orders([{"path": "b", "score": 0.9}, {"path": "a", "score": 0.1}])
'.list:has(#order-name:checked) #c1{order:2}.list:has(#order-name:checked) #c2{order:1}'
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

#: How a list may be sorted, beside "worst first", in which it stands.
ORDERS: Mapping[str, str] = {"name": "By name", "score": "By score"}


def orders(rows: Sequence[Mapping[str, Any]]) -> str:
    """Style rules that put the cards ``#c1``, ``#c2``, … in every order but the one they stand in.

    Args:
        rows: The rows of the cards, in their order; numbers alone come into the rules, no text of theirs.
    """
    names = [str(row["path"]) for row in rows]
    scores = [2.0 if row.get("score") is None else -float(row["score"]) for row in rows]
    sorted_by = {
        "name": sorted(range(len(rows)), key=names.__getitem__),
        "score": sorted(range(len(rows)), key=scores.__getitem__),
    }
    rules = []
    for name, wanted in sorted_by.items():
        if wanted == list(range(len(rows))):
            continue
        places = {place: number for number, place in enumerate(wanted, 1)}
        for place in range(len(rows)):
            rules.append(f".list:has(#order-{name}:checked) #c{place + 1}{{order:{places[place]}}}")
    return "".join(rules)


def csv_link(text: str) -> str:
    """The address of a table that lies in the page itself."""
    return "data:text/csv;charset=utf-8;base64," + base64.b64encode(text.encode("utf-8", "replace")).decode()


def boxes(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rectangles that evidence names, in pixels: ``x``, ``y``, ``width``, ``height``, ``kind``, ``side``.

    Evidence lists ``faces`` or ``parts``, each with a ``box``; those that speak for synthetic origin have
    the side ``points``, others ``plain``.
    """
    found: list[dict[str, Any]] = []
    for item in row["evidence"]:
        for each in (*_listed(item["detail"].get("faces")), *_listed(item["detail"].get("parts"))):
            box = each.get("box") if isinstance(each, Mapping) else None
            if isinstance(box, list | tuple) and len(box) == 4 and all(map(_number, box)):
                x, y, width, height = (round(float(value), 1) for value in box)
                side = "points" if each.get("likely", item["points_to"] == "synthetic") else "plain"
                found.append(
                    {"x": x, "y": y, "width": width, "height": height, "kind": item["kind"], "side": side}
                )
    return found[:50]


def _listed(value: object) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9
