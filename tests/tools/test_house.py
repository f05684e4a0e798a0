"""The figures of the house, on houses made here."""

from __future__ import annotations

from pathlib import Path

import house


def make(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_imports_and_circles_are_counted(tmp_path: Path) -> None:
    root = make(
        tmp_path,
        countermark__core__one="def f():\n    from countermark.core.two import g\n    return g\n",
        countermark__core__two="from countermark.core.three import h\n",
        countermark__core__three="from countermark.core.one import f\n",
        countermark__core__four=(
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from countermark.core.five import x\n"
        ),
        countermark__core__five="from countermark.core import four\nfrom countermark.reports import page\n",
        reports__page="x = 1\n",
        countermark__reports__page="a copy that a link would show\n",
    )
    (root / "reports" / "__init__.py").touch()
    found = house.measure(root)
    circle = frozenset(f"countermark.core.{name}" for name in ("one", "two", "three"))
    assert (found.modules, found.packages, found.imports) == (7, 1, 5)
    assert found.circles == [circle]
    assert house.graph(house.sources(root), types=True)["countermark.core.four"] == {"countermark.core.five"}
