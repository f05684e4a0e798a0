"""The gallery page says what the cards say, and the committed page is current."""

from __future__ import annotations

import re
from pathlib import Path

import gallery
import pytest
from gallery import gallery_markdown, write_gallery

from countermark.core.images import read_image
from countermark.core.weights import read_card, shipped_cards
from countermark.generators.library import WEIGHTS

DOCS = Path(__file__).parents[2] / "docs"


def test_page_and_grids_are_written(tmp_path, monkeypatch):
    only = {"digits-32": WEIGHTS / "digits-32.safetensors"}
    monkeypatch.setattr(gallery, "shipped_cards", lambda folder: only)
    page = write_gallery(tmp_path).read_text("utf-8")
    card = read_card(only["digits-32"])
    assert f"{card.metrics['quality']['kid']['value']:.3f}" in page
    assert card.limits[0] in page
    assert read_image(tmp_path / "images" / "gallery-digits-32.png").height > 100


@pytest.mark.skipif(not (DOCS / "gallery.md").exists(), reason="an installed package has no docs folder")
def test_the_committed_page_is_current():
    cards = {name: read_card(path) for name, path in shipped_cards(WEIGHTS).items()}
    pictures = {name for name in cards if (DOCS / "images" / f"gallery-{name}.png").is_file()}
    page = (DOCS / "gallery.md").read_text("utf-8")
    assert page == gallery_markdown(cards, pictures)
    linked = set(re.findall(r"\]\((images/[^)]+)\)", page))
    assert len(linked) == len(cards) and all((DOCS / link).is_file() for link in linked)
    assert pictures >= {name for name, card in cards.items() if card.family == "dcgan"}


def test_generators_that_start_from_an_image_are_listed_apart():
    card = read_card(WEIGHTS / "digits-32.safetensors")
    guided = card.model_copy(update={"name": "boost4", "family": "booster", "config": {"width": 8}})
    page = gallery_markdown({"boost4": guided, "digits-32": card}, {"digits-32"})
    table, _, last = page.partition("# Generators that start from an image")
    assert "boost4" not in table and "## boost4" in last and "gallery-boost4.png" not in last
    assert "gallery-boost4.png" in gallery_markdown({"boost4": guided}, {"boost4"})
