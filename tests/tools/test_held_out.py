"""The page of held-out sources: its tables are the cards', and what is missing is said."""

from __future__ import annotations

from pathlib import Path

import held_out
import pytest

from countermark.core.weights import WeightsCard, read_card
from countermark.detectors.library import WEIGHTS


def card(found: dict[str, float], flagged: dict[str, float], name: str = "made") -> WeightsCard:
    metrics = {each: {"fpr_at_default_by_source": {}} for each in held_out.CONDITIONS}
    metrics["native"] = {"fpr_at_default_by_source": flagged, "tpr_at_5_fpr_by_generator": found}
    return WeightsCard(
        name=name,
        kind="detector",
        family="clip-probe",
        metrics=metrics,
        training_data=[
            "real: calm, 30 images",
            "real: loud, with a comma, 7 images",
            "synthetic: x, 9 images",
        ],
    )


def test_the_least_found_stands_first_and_a_second_card_has_gaps() -> None:
    first = card({"GAN|old@a": 1.0, "new@b": 0.25}, {})
    lines = held_out.generators([first, card({"new@b": 0.5}, {}, "other")])
    assert lines[0] == "| generator @ source | `made` | `other` |"
    assert lines[2:] == ["| new @ b | .25 | .50 |", "| GAN/old @ a | 1.00 | – |"]


def test_sources_without_a_flagged_picture_are_counted_together() -> None:
    lines = held_out.real_sources([card({}, {"loud, with a comma": 0.125})])
    assert lines[2] == "| loud, with a comma | 7 | .12 | 0 | 0 | 0 | 0 | 0 |"
    assert lines[3] == "| *1 others* | 30 | 0 | 0 | 0 | 0 | 0 | 0 |"


def test_a_page_without_a_place_for_tables_is_refused() -> None:
    with pytest.raises(ValueError, match="no place"):
        held_out.renewed("# A page\n", "tables")


@pytest.mark.skipif(not held_out.PAGE.is_file(), reason="a source archive has no docs folder")
def test_the_page_is_of_the_weights_that_ship() -> None:
    cards = [read_card(WEIGHTS / f"{name}.safetensors") for name in held_out.DETECTORS]
    page = Path(held_out.PAGE).read_text("utf-8")
    assert held_out.renewed(page, held_out.tables(cards)) == page
