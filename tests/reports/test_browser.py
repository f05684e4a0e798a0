"""The pages in headless Chromium: nothing violates their own policy, nothing is loaded, no script runs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from countermark.reports.formats import render
from countermark.reports.thumbnails import make_thumbnail

CHROMIUM = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


def console(page: Path) -> tuple[list[str], str]:
    """Lines that the page left on the browser's console, and the document after loading."""
    profile = page.parent / f"profile-{page.stem}"
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        f"--user-data-dir={profile}",
    ]
    done = subprocess.run(
        [str(CHROMIUM), *flags, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=120
    )
    return [line for line in done.stderr.splitlines() if "CONSOLE" in line], done.stdout


def test_pages_keep_to_their_own_policy(tmp_path: Path, documents, hostile: str) -> None:
    image = make_thumbnail(np.zeros((40, 60, 3), np.uint8), np.eye(40, 60))
    pages = [
        render(documents[k], "html", images={hostile: image, "likely.png": image}) for k in ("scan", "audit")
    ]
    for number, text in enumerate(pages):
        path = tmp_path / f"page-{number}.html"
        path.write_text(text)
        lines, dom = console(path)
        assert lines == [] and "<script" not in dom.lower() and "Countermark" in dom


def test_a_page_that_breaks_the_policy_is_noticed(tmp_path: Path, documents) -> None:
    text = render(documents["scan"], "html").replace("<main", '<p style="color:red">x</p><main')
    path = tmp_path / "broken.html"
    path.write_text(text)
    lines, _ = console(path)
    assert any("Content Security Policy" in line for line in lines)
