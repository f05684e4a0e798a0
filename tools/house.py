"""The house in figures: packages, modules, imports, circles, archives of revisions, side by side.

    python tools/house.py c42e938 HEAD > table.md

Imports are those of the package's own modules by each other, those inside of functions included, those
for types only left out. A circle is a set of modules each of which reaches every other one.
"""

from __future__ import annotations

import argparse
import ast
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOMS = ("provenance", "detectors", "generators", "reports")


@dataclass(frozen=True)
class House:
    """Figures of one tree. ``circles`` are sets of modules, the largest first."""

    packages: int
    modules: int
    lines: int
    imports: int
    circles: list[frozenset[str]]


def sources(root: Path) -> dict[str, str]:
    """Source by module name of a tree whose rooms stand at the top."""
    found = {}
    for top in ("countermark", *ROOMS):
        for path in (root / top).rglob("*.py"):
            parts = path.relative_to(root).with_suffix("").parts
            if "__pycache__" in parts or parts[1] in ROOMS:
                continue
            name = ".".join(parts if top == "countermark" else ("countermark", *parts))
            found[name.removesuffix(".__init__")] = path.read_text("utf-8")
    return found


def imports(tree: ast.AST, *, types: bool = False) -> Iterator[ast.ImportFrom]:
    """``from … import`` anywhere; also what is imported for types only, if ``types``."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.ImportFrom):
            yield child
        elif types or not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)):
            yield from imports(child, types=types)


def graph(found: dict[str, str], *, types: bool = False) -> dict[str, set[str]]:
    """For each module, those of the package that it imports."""
    edges: dict[str, set[str]] = {}
    for name, text in found.items():
        edges[name] = set()
        for node in imports(ast.parse(text), types=types):
            home = node.module or ""
            for whole in (f"{home}.{alias.name}" for alias in node.names):
                edges[name] |= {whole if whole in found else home} & found.keys() - {name}
    return edges


def circles(edges: dict[str, set[str]]) -> list[frozenset[str]]:
    """Strongly connected parts of two modules or more, the largest first."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        todo = [start]
        while todo:
            for target in edges[todo.pop()] - seen:
                seen.add(target)
                todo.append(target)
        return seen

    reach = {name: reached(name) for name in edges}
    parts = {
        frozenset(other for other in reach[name] if name in reach[other])
        for name in edges
        if name in reach[name]
    }
    return sorted(parts, key=lambda part: (-len(part), sorted(part)))


def measure(root: Path) -> House:
    """The figures of a tree."""
    found = sources(root)
    edges = graph(found)
    packages = {name for name in found if any(other.startswith(f"{name}.") for other in found)}
    return House(
        packages=len(packages),
        modules=len(found),
        lines=sum(text.count("\n") for text in found.values()),
        imports=sum(len(targets) for targets in edges.values()),
        circles=circles(edges),
    )


def archives(root: Path) -> dict[str, tuple[int, int]]:
    """Bytes and files of wheel and source archive, built from a tree."""
    sizes = {}
    for kind in ("wheel", "sdist"):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", folder]
            subprocess.run(command, cwd=root, check=True, capture_output=True)
            (made,) = Path(folder).iterdir()
            if kind == "wheel":
                with zipfile.ZipFile(made) as wheel:
                    count = len(wheel.namelist())
            else:
                with tarfile.open(made) as packed:
                    count = len(packed.getnames())
            sizes[kind] = (made.stat().st_size, count)
    return sizes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("revisions", nargs="+")
    columns = []
    for revision in parser.parse_args().revisions:
        with tempfile.TemporaryDirectory() as folder:
            packed = subprocess.run(["git", "archive", revision], check=True, capture_output=True).stdout
            with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
                archive.extractall(folder, filter="tar")
            house, sizes = measure(Path(folder)), archives(Path(folder))
        columns.append(
            {
                "packages": f"{house.packages}",
                "modules": f"{house.modules}",
                "lines": f"{house.lines:,}",
                "imports among them": f"{house.imports:,}",
                "circles": f"{len(house.circles)}",
                "modules in circles": f"{sum(map(len, house.circles))}",
                **{
                    f"{kind}, MB (files)": f"{size / 1e6:.1f} ({count})"
                    for kind, (size, count) in sizes.items()
                },
            }
        )
        for circle in house.circles:
            print(f"{revision}: {' '.join(sorted(circle))}", file=sys.stderr)
    print("| | " + " | ".join(parser.parse_args().revisions) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for row in columns[0]:
        print(f"| {row} | " + " | ".join(column[row] for column in columns) + " |")


if __name__ == "__main__":
    main()
