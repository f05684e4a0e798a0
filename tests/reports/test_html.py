"""The HTML page: self-contained, escaped, the same bytes twice, strict content-security policy."""

from __future__ import annotations

import base64
import hashlib
import html.parser
import re

import numpy as np
import pytest

from countermark.reports.canonical import Document
from countermark.reports.formats import render
from countermark.reports.thumbnails import Thumbnail, make_thumbnail

KINDS = ("scan", "verify", "audit", "evaluation")


class Page(html.parser.HTMLParser):
    """Collects tags, attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "input", "br", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, "tags are nested"

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture
def image() -> Thumbnail:
    ramp = np.tile(np.arange(64, dtype=np.uint8)[None, :, None], (48, 1, 3))
    return make_thumbnail(ramp, np.linspace(0, 1, 48 * 64).reshape(48, 64), side=96)


@pytest.mark.parametrize("kind", KINDS)
def test_page_is_self_contained(
    kind: str, documents: dict[str, Document], hostile: str, image: Thumbnail
) -> None:
    text = render(documents[kind], "html", images={hostile: image, "likely.png": image})
    page = Page(text)
    assert page.open == []
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "iframe", "object", "embed", "form", "base", "video"}
    for tag, attributes in page.tags:
        assert "style" not in attributes, "inline style is refused by the policy"
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href"):
            value = attributes.get(name) or ""
            assert value == "" or value.startswith(("data:image/jpeg;base64,", "#")), (tag, value)
    assert "\u202e" not in text and "\x1b" not in text
    text.encode("utf-8")  # no unpaired surrogates


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_text_stays_text(kind: str, documents: dict[str, Document]) -> None:
    text = render(documents[kind], "html")
    assert "<script>" not in text and "&lt;script&gt;" in text
    assert any("<script>alert(1)</script>" in word for word in Page(text).words)


@pytest.mark.parametrize("kind", KINDS)
def test_style_is_allowed_by_its_hash_only(kind: str, documents: dict[str, Document]) -> None:
    text = render(documents[kind], "html")
    policy = next(a["content"] or "" for t, a in Page(text).tags if "http-equiv" in a)
    style = re.search(r"<style>(.*?)</style>", text, re.S)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    assert "url(" not in style[1] and "@import" not in style[1]


@pytest.mark.parametrize("kind", KINDS)
def test_two_runs_give_the_same_bytes(kind: str, documents: dict[str, Document], image: Thumbnail) -> None:
    images = {"likely.png": image}
    assert render(documents[kind], "html", images=images) == render(documents[kind], "html", images=images)


def test_pictures_and_charts_have_words(documents: dict[str, Document], image: Thumbnail) -> None:
    for kind in KINDS:
        page = Page(render(documents[kind], "html", images={"likely.png": image}))
        for tag, attributes in page.tags:
            if tag == "img":
                assert attributes.get("alt")
            if tag == "svg":
                assert attributes.get("aria-hidden") == "true" or attributes.get("aria-label")
        assert any(t == "html" and a.get("lang") == "en" for t, a in page.tags)
        assert [t for t, _ in page.tags].count("h1") == 1 and [t for t, _ in page.tags].count("main") == 1


def test_heatmap_works_without_script(documents: dict[str, Document], image: Thumbnail) -> None:
    page = Page(render(documents["scan"], "html", images={"likely.png": image}))
    boxes = [a["id"] for t, a in page.tags if t == "input"]
    labels = [a.get("for") for t, a in page.tags if t == "label"]
    assert boxes and boxes == labels
    assert sum(a.get("class") == "heat" for t, a in page.tags if t == "img") == 1


def test_many_results_stay_bounded(documents: dict[str, Document]) -> None:
    row = next(r for r in documents["scan"]["results"] if r["error"] is None)
    many = {**documents["scan"], "results": [{**row, "path": f"{n}.png"} for n in range(6000)]}
    text = render(many, "html")
    assert text.count('class="card"') == 400 and "1,000 further results" in text


def test_thumbnails_are_small_and_re_encoded() -> None:
    random = np.random.default_rng(0)
    thumbnail = make_thumbnail(random.integers(0, 256, (2000, 3000, 3), dtype=np.uint8), side=300)
    assert (thumbnail.width, thumbnail.height) == (300, 200)
    assert thumbnail.jpeg.startswith(b"\xff\xd8") and len(thumbnail.jpeg) < 80_000
    tiny = make_thumbnail(np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1)), side=64)
    assert (tiny.width, tiny.height) == (64, 64) and tiny.heatmap is not None
