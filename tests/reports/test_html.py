"""The HTML page: self-contained, escaped, the same bytes twice, strict content-security policy."""

from __future__ import annotations

import base64
import hashlib
import html.parser
import re
from dataclasses import replace

import numpy as np
import pytest

from countermark.reports.canonical import Document
from countermark.reports.formats import render
from countermark.reports.thumbnails import Thumbnail, make_crop, make_thumbnail

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
            own = ("data:image/jpeg;base64,", "data:text/csv;", "#")
            assert value == "" or value.startswith(own), (tag, value)
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
    assert any(str(box).startswith("heat-") for box in boxes) and boxes == labels
    assert sum(a.get("class") == "heat" for t, a in page.tags if t == "img") == 1


def test_many_results_stay_bounded(documents: dict[str, Document]) -> None:
    row = next(r for r in documents["scan"]["results"] if r["error"] is None)
    many = {**documents["scan"], "results": [{**row, "path": f"{n}.png"} for n in range(6000)]}
    text = render(many, "html")
    assert text.count('<article class="card ') == 400 and "1,000 further results" in text


def test_a_list_is_filtered_sorted_and_saved_without_script(documents: dict[str, Document]) -> None:
    text = render(documents["scan"], "html")
    style = re.search(r"<style>(.*?)</style>", text, re.S)
    assert style is not None
    ids = re.findall(r'<article class="card [a-z-]+" id="(c\d+)" aria-label="([^"]+)"', text)
    assert [name for _, name in ids][:2] == ["declared.png", "likely.png"]
    for order, key in (("name", lambda row: row["path"]), ("score", lambda row: -(row["score"] or -1))):
        places = dict(re.findall(rf"#order-{order}:checked\) #(c\d+){{order:(\d+)}}", style[1]))
        shown = [name for _, name in sorted(ids, key=lambda pair: int(places[pair[0]]))]
        rows = [r for r in documents["scan"]["results"] if r["error"] is None]
        assert shown == [r["path"] for r in sorted(rows, key=key)]
    link = next(a["href"] or "" for t, a in Page(text).tags if t == "a" and a.get("download") == "scan.csv")
    table = base64.b64decode(link.partition("base64,")[2]).decode()
    assert table.count("likely.png") == 1 and "likely-synthetic" in table


def test_a_larger_view_opens_and_closes(documents: dict[str, Document]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (600, 900, 3), dtype=np.uint8)
    picture = make_thumbnail(pixels, full_side=800)
    assert picture.full is not None and picture.full_uri
    page = Page(render(documents["scan"], "html", images={"likely.png": picture}))
    opened = [
        a["href"] for t, a in page.tags if t == "a" and a.get("class") == "open" and "download" not in a
    ]
    assert opened == ["#full-2"]
    assert any(t == "div" and a.get("id") == "full-2" for t, a in page.tags)
    assert any(t == "a" and a.get("href") == "#c2" for t, a in page.tags)


def test_places_that_evidence_names_lie_over_the_picture(image: Thumbnail) -> None:
    from countermark.core.results import Evidence, ScanResult, Strength, Verdict
    from countermark.reports.documents import scan_document

    face = Evidence("face", "synthetic", Strength.WEAK, "A face.", {"faces": [{"box": [1, 2, 30, 40]}, "no"]})
    part = Evidence("region", "neither", Strength.WEAK, "A part.", {"parts": [{"box": [5, 6, 7, "8"]}]})
    found = ScanResult("a.png", "00" * 32, Verdict.UNSURE, 0.5, (face, part), None, 64, 48, "png")
    page = Page(render(scan_document([found], settings={}), "html", images={"a.png": image}))
    rectangles = [a for t, a in page.tags if t == "rect" and a.get("class") in ("points", "plain")]
    assert len(rectangles) == 1 and rectangles[0]["width"] == "30.0"


def test_the_next_step_and_what_was_found_stand_in_the_report(documents: dict[str, Document]) -> None:
    point = {"name": "default", "max_fpr": 0.01, "likely": 0.92, "unsure": 0.5, "note": ""}
    settings = {"max_fpr": 0.01, "fail_on": "never", "working_points": [point | {"found": {"q75": 0.5}}]}
    settings["left_out"] = {"videos": 3}
    text = render({**documents["scan"], "settings": settings}, "html")
    assert "Ask for a larger, less compressed copy" in text and "3 videos" in text
    assert "50.0 % at JPEG 75" in text and "Default (this scan)" in text
    console = render({**documents["scan"], "settings": settings}, "console", width=300)
    assert "videos: 3" in console and "what to do next" in console
    assert re.search(r"default +0\.920 +at most 1\.0 %", console)


def test_a_verification_shows_pictures_and_history(documents: dict[str, Document], image: Thumbnail) -> None:
    images = {"good.png": image, "good.png#urn:c2pa:1": image}
    text = render(documents["verify"], "html", images=images)
    assert text.count(image.uri) == 2 and 'class="step"' in text


def test_thumbnails_are_small_and_re_encoded() -> None:
    random = np.random.default_rng(0)
    thumbnail = make_thumbnail(random.integers(0, 256, (2000, 3000, 3), dtype=np.uint8), side=300)
    assert (thumbnail.width, thumbnail.height) == (300, 200)
    assert thumbnail.jpeg.startswith(b"\xff\xd8") and len(thumbnail.jpeg) < 80_000
    tiny = make_thumbnail(np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1)), side=64)
    assert (tiny.width, tiny.height) == (64, 64) and tiny.heatmap is not None


def test_crops_stand_beside_their_picture_and_their_labels_are_escaped(
    documents: dict[str, Document], image: Thumbnail
) -> None:
    ramp = np.tile(np.arange(64, dtype=np.uint8)[None, :, None], (64, 1, 3))
    crop = make_crop(ramp, (20, 20, 20, 20))
    assert crop is not None and make_crop(ramp, (500, 20, 20, 20)) is None
    page = Page(
        render(documents["scan"], "html", images={"likely.png": replace(image, crops=((crop, "<b>"),))})
    )
    uris = [attributes["src"] for tag, attributes in page.tags if tag == "img" and attributes["alt"] == "<b>"]
    assert uris == ["data:image/jpeg;base64," + base64.b64encode(crop).decode()]
    assert "<b>" in page.words
