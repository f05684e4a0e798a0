"""A checkout without symbolic links, as git makes on Windows: it imports, tests and builds the same."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("provenance", "detectors", "generators", "reports")
#: What a wheel may hold: code, what it is typed by, weights and cards, recipes, pages and schemas.
KINDS = {
    ".py", ".typed", ".safetensors", ".json", ".toml", ".tsv", ".j2", ".css", ".js", ".svg", ".html",
    ".pem", ".po",
}  # fmt: skip
#: The largest file that the Python Package Index takes without asking.
LARGEST = 100_000_000
NAMES = ("countermark", *ROOMS, "tests", "policies", "pyproject.toml", "README.md", "LICENSE", "NOTICE")


def copy(source: Path, target: Path, *, links: bool) -> Path:
    """Sources of a checkout; a room's entry is a link, or the text file that git writes in its place."""
    target.mkdir()
    for name in NAMES:
        if (source / name).is_dir():
            ignore = shutil.ignore_patterns("__pycache__", ".*")
            shutil.copytree(source / name, target / name, symlinks=True, ignore=ignore)
        else:
            shutil.copy2(source / name, target / name)
    for room in ROOMS:
        entry = target / "countermark" / room
        entry.unlink(missing_ok=True)
        if links:
            entry.symlink_to(Path("..") / room, target_is_directory=True)
        else:
            entry.write_text(f"../{room}")
    return target


def build(root: Path, kind: str, out: Path) -> Path:
    """Builds with the build backend alone: no network, no second environment."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", str(out)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (made,) = out.iterdir()
    return made


def python(folder: Path) -> list[Path]:
    """The modules in a folder; bytecode that others leave there doesn't count."""
    return [path for path in folder.rglob("*.py") if "__pycache__" not in path.parts]


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def run(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    environ.pop("PYTEST_XDIST_WORKER", None)
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=tree, env=environ, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def without_links(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy(ROOT, tmp_path_factory.mktemp("checkout") / "plain", links=False)


@pytest.fixture(scope="module")
def wheel(without_links: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(without_links, "wheel", tmp_path_factory.mktemp("wheel"))


def test_every_module_is_found_at_its_place(without_links: Path) -> None:
    code = """
import importlib.util, sys
from pathlib import Path
root = Path.cwd()
import countermark
assert Path(countermark.__file__).is_relative_to(root), countermark.__file__
seen = 0
for room in sys.argv[1:]:
    importlib.import_module(f"countermark.{room}")
    for path in sorted((root / room).rglob("*.py")):
        if "migrations" in path.parts:
            continue
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(("countermark", *parts)).removesuffix(".__init__")
        found = importlib.util.find_spec(name)
        assert found is not None and Path(found.origin) == path, (name, found)
        seen += 1
assert seen > 100, seen
"""
    done = run(without_links, "-c", code, *ROOMS)
    assert done.returncode == 0, done.stderr


def test_its_tests_pass(without_links: Path) -> None:
    chosen = ["core/test_registry.py", "reports/test_formats.py", "provenance/metadata", "generators/presets"]
    done = run(
        without_links, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", *[f"tests/{c}" for c in chosen]
    )
    assert done.returncode == 0, done.stdout[-3000:]


def test_its_wheel_is_the_wheel_of_a_checkout_with_links(
    wheel: Path, without_links: Path, tmp_path: Path
) -> None:
    try:
        linked = copy(without_links, tmp_path / "linked", links=True)
    except OSError as error:
        pytest.skip(f"this machine makes no symbolic links: {error}")
    assert names(build(linked, "wheel", tmp_path / "out")) == names(wheel)
    assert wheel.stat().st_size < LARGEST


def test_the_wheel_holds_every_module_and_nothing_else(wheel: Path, without_links: Path) -> None:
    held = {n for n in names(wheel) if ".dist-info/" not in n}
    assert {n for n in held if not n.startswith("countermark/") or Path(n).suffix not in KINDS} == set()
    assert not {n for n in held if {"tests", "tools", "benchmarks"} & set(Path(n).parts)}
    sources = {
        f"countermark/{p.relative_to(without_links)}" for r in ROOMS for p in python(without_links / r)
    }
    sources |= {str(p.relative_to(without_links)) for p in python(without_links / "countermark")}
    assert {n for n in held if n.endswith(".py")} == {name.replace(os.sep, "/") for name in sources}


def test_the_wheel_works_where_it_is_unpacked(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    assert {p.name for p in tmp_path.iterdir() if p.suffix != ".dist-info"} == {"countermark"}
    code = (
        "import countermark, countermark.reports as room; from pathlib import Path;"
        "here = Path.cwd() / 'countermark';"
        "assert list(countermark.__path__) == [str(here)], list(countermark.__path__);"
        "assert Path(room.__file__) == here / 'reports' / '__init__.py', room.__file__"
    )
    done = run(tmp_path, "-c", code)
    assert done.returncode == 0, done.stderr


def test_the_source_archive_builds_the_same_wheel(wheel: Path, without_links: Path, tmp_path: Path) -> None:
    archive = build(without_links, "sdist", tmp_path / "sdist")
    assert archive.stat().st_size < LARGEST
    shutil.unpack_archive(archive, tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    assert not any((unpacked / "countermark" / room).exists() for room in ROOMS)
    assert names(build(unpacked, "wheel", tmp_path / "wheel")) == names(wheel)
