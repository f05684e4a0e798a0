"""The page of held-out sources: its tables are the cards', and what is missing is said."""

from __future__ import annotations

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
        held_out.renewed("# A page\n", "held out", "tables")


def test_what_is_worse_than_chance_and_what_is_perfect_are_written_alike() -> None:
    made = card({}, {})
    for key in held_out.CONDITIONS:
        made.metrics[key] |= {
            "images": 1200,
            "auroc": 1.0,
            "auroc_interval": [0.4567, 1.0],
            "only_diffusion": {"auroc": 0.9},
            "tpr_at_5_fpr": 0.0,
            "tpr_at_1_fpr": 0.005,
            "ece_even": 0.0304,
            "fpr_at_default": 0.0,
            "tpr_at_default": 1.0,
        }
    row = held_out.figures(made).splitlines()[2]
    assert row == "| native | 1,200 | **1.000** (.457–1.000) | .900 | .00 | .01 | .030 | .0000, 1.00 |"


@pytest.mark.skipif(not held_out.SOURCES.is_file(), reason="a source archive has no docs folder")
def test_the_pages_are_of_the_weights_that_ship() -> None:
    cards = [read_card(WEIGHTS / f"{name}.safetensors") for name in held_out.DETECTORS]
    for path, text in held_out.pages(cards).items():
        assert path.read_text("utf-8") == text, path.name
