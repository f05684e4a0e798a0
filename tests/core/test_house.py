"""The house: one copy of every module, rooms through their links, nothing that runs foreign code."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("provenance", "detectors", "generators", "reports")
SOURCES = sorted(
    path
    for folder in (*ROOMS, "countermark/core", "countermark/app", "countermark/cli")
    for path in (ROOT / folder).rglob("*.py")
)
FORBIDDEN = {("torch", "load"), ("pickle", "load"), ("pickle", "loads"), ("joblib", "load")}


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_stand_at_the_top(room: str) -> None:
    """The entry is a link to the room; without symbolic links it is the text file that git writes."""
    entry = ROOT / "countermark" / room
    if entry.is_dir():
        assert entry.is_symlink() and entry.resolve() == ROOT / room
    else:
        assert not entry.exists() or entry.read_text() == f"../{room}"
    assert (ROOT / room / "__init__.py").is_file()


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_are_absolute_and_nothing_unpickles(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}"
            names = [node.module or ""]
        for name in names:
            assert name.split(".")[0] not in (*ROOMS, "tests"), f"bare import of {name}"
            assert name.split(".")[0] not in ("pickle", "joblib", "dill", "shelve")
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert (node.value.id, node.attr) not in FORBIDDEN, f"line {node.lineno}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("eval", "exec"), f"line {node.lineno}"


def test_importing_the_package_stays_light() -> None:
    code = (
        "import sys, countermark;"
        "heavy = {'torch', 'cv2', 'timm', 'sklearn', 'c2pa', 'matplotlib'} & set(sys.modules);"
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_unknown_attributes_are_named() -> None:
    import countermark

    with pytest.raises(AttributeError, match="nonsense"):
        _ = countermark.nonsense
    assert set(countermark.__all__) >= {"scan", "sign", "verify", "generate", "train", "audit"}
