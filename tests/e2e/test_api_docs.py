"""Python, page by page: every name that is documented exists, every example runs."""

from __future__ import annotations

import importlib
import os
import re
from pathlib import Path

import pytest

from countermark.core.images import write_image
from countermark.core.seeds import rng

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs" / "api").glob("*.md"))
BLOCK = re.compile(r"^```python\n(.*?)^```", re.M | re.S)
POLICY = """
schema = "countermark.policy/1"
name = "Weights"
[subject]
kind = "generator"
name = "digits-32"
[[checks]]
id = "weights.checksum"
"""

pytestmark = pytest.mark.skipif(not PAGES, reason="a source archive has no docs folder")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the examples name."""
    folder = tmp_path_factory.mktemp("api")
    import cv2

    grid = rng(1, "picture").integers(0, 256, (9, 12, 3)).astype("uint8")
    pixels = cv2.resize(grid, (320, 240), interpolation=cv2.INTER_CUBIC)
    write_image(folder / "made.png", pixels)
    write_image(folder / "pictures" / "one.jpg", pixels)
    (folder / "policy.toml").write_text(POLICY)
    return folder


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_example_runs(page: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERMARK_HOME", str(place / "home"))
    monkeypatch.chdir(place)
    blocks = BLOCK.findall(page.read_text("utf-8"))
    assert blocks
    for block in blocks:
        (place / "example.py").write_text(block)
        try:
            exec(compile(block, f"{page.name}", "exec"), {"__name__": "__main__"})
        except SystemExit as stop:
            assert stop.code == 0, block
    assert os.getcwd() == str(place)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_documented_name_exists(page: Path) -> None:
    text = page.read_text("utf-8")
    for match in re.finditer(r"^::: (countermark[\w.]*)\n((?:    .*\n)*)", text, re.M):
        name = match[1]
        try:
            thing = importlib.import_module(name)
        except ModuleNotFoundError:
            home, _, last = name.rpartition(".")
            thing = getattr(importlib.import_module(home), last)
        listed = re.search(r"members: \[([^\]]*)\]", match[2])
        for member in listed[1].split(",") if listed else ():
            assert hasattr(thing, member.strip()), f"{name} has no {member.strip()}"
        assert (thing.__doc__ or "").strip(), name


def test_every_page_is_in_the_list() -> None:
    index = (ROOT / "docs" / "api" / "index.md").read_text("utf-8")
    assert all(f"({page.name})" in index for page in PAGES if page.stem != "index")
