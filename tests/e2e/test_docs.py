"""The documents: every page is reached, every link leads somewhere, every module named exists."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.glob("*.md"))]
LINK = re.compile(r"\]\(\s*<?([^)\s>#]+)[^)]*\)")
#: A path from the repository's top, or from the package's.
PATH = re.compile(
    r"(?<![\w./:-])((?:countermark|core|app|cli|provenance|detectors|generators|reports|benchmarks|tools|tests)"
    r"/[\w./-]*\.(?:py|toml|md|json|tsv|css|j2))\b"
)
FOLDER = re.compile(
    r"`((?:core|app|cli|provenance|detectors|generators|reports|benchmarks|tools|tests)(?:/[\w.-]+)*/)`"
)
#: Placeholders in examples.
PLACE = re.compile(r"NAME")
MODULE = re.compile(
    r"\bcountermark((?:\.(?:core|app|cli|provenance|detectors|generators|reports))(?:\.[a-z_0-9]+)*)"
)

pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="a source archive has no docs folder")


def links(page: Path) -> set[Path]:
    found = LINK.findall(page.read_text("utf-8"))
    return {(page.parent / link).resolve() for link in found if "://" not in link and "mailto:" not in link}


def test_every_link_leads_somewhere() -> None:
    broken = [f"{page.name}: {link}" for page in PAGES for link in links(page) if not link.exists()]
    assert not broken, broken


def test_everything_in_docs_is_reached_from_the_index() -> None:
    assert DOCS / "index.md" in links(ROOT / "README.md")
    index = links(DOCS / "index.md")
    unlisted = {page.name for page in DOCS.glob("*.md")} - {page.name for page in index} - {"index.md"}
    assert not unlisted, f"docs/index.md lacks {sorted(unlisted)}"
    told = "".join(page.read_text("utf-8") for page in PAGES)
    others = [p for p in DOCS.rglob("*") if p.is_file() and p.suffix != ".md"]
    unread = [p for p in others if p.relative_to(DOCS).as_posix() not in told]
    assert not unread, f"no page shows or reads {unread}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_module_and_path_named_exists(page: Path) -> None:
    text = page.read_text("utf-8")
    wanted = [path for path in PATH.findall(text) + FOLDER.findall(text) if not PLACE.search(path)]
    gone = [path for path in wanted if not any((top / path).exists() for top in (ROOT, ROOT / "countermark"))]
    for name in MODULE.findall(text):
        steps = name.strip(".").split(".")
        top = (
            ROOT if steps[0] in ("provenance", "detectors", "generators", "reports") else ROOT / "countermark"
        )
        whole, home = top.joinpath(*steps), top.joinpath(*steps[:-1])
        module = whole.is_dir() or whole.with_suffix(".py").is_file()
        member = home.with_suffix(".py") if home.with_suffix(".py").is_file() else home / "__init__.py"
        if not module and not (member.is_file() and steps[-1] in member.read_text("utf-8")):
            gone.append(f"countermark{name}")
    assert not gone, sorted(set(gone))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_import_in_an_example_works(page: Path) -> None:
    text = page.read_text("utf-8")
    for home, names in re.findall(
        r"^\s*(?:>>> )?from (countermark[\w.]*) import ([\w, ]+)", text, re.MULTILINE
    ):
        for name in names.split(","):
            module = importlib.import_module(home)
            if not hasattr(module, name.strip()):
                importlib.import_module(f"{home}.{name.strip()}")
