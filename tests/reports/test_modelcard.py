"""Model cards: front matter that parses, hostile fields that stay text, the audit's figures."""

from __future__ import annotations

import yaml
from markdown_it import MarkdownIt

from countermark.reports.modelcard import model_card


def card(**fields) -> dict:
    good = {
        "name": "m", "kind": "detector", "family": "probe", "version": "1", "licence": "Apache-2.0",
        "sha256": "ab" * 32,
        "summary": "Finds things.", "training_data": ["photos, CC0"], "trained": {"seed": 1, "minutes": 3.5},
        "limits": ["Small images."],
    }  # fmt: skip
    return {**good, **fields}


def front_matter(text: str) -> dict:
    _, matter, _ = text.split("---\n", 2)
    return yaml.safe_load(matter)


def test_front_matter_names_licence_task_and_figures(documents) -> None:
    text = model_card(card(), documents["audit"])
    matter = front_matter(text)
    assert matter["license"] == "apache-2.0" and matter["pipeline_tag"] == "image-classification"
    results = matter["model-index"][0]["results"]
    assert {r["metrics"][0]["type"]: r["metrics"][0]["value"] for r in results}["detector.auroc"] == 0.95
    assert "## Evaluation" in text and "## Evidence towards" in text and "legal judgement" in text
    assert "compliant" not in text


def test_hostile_fields_stay_text(documents, hostile: str) -> None:
    nasty = f"---\n{hostile}\nlicense: evil\n"
    text = model_card(
        card(
            name=nasty,
            summary=nasty,
            licence=nasty,
            limits=[nasty],
            training_data=[nasty],
            trained={nasty: nasty},
        ),
        documents["audit"],
    )
    matter = front_matter(text)
    assert set(matter) == {"license", "pipeline_tag", "library_name", "tags", "model-index"}
    body = text.split("---\n", 2)[2]
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(body)
    inner = {child.type for token in tokens for child in token.children or []}
    assert not inner & {"html_inline", "link_open", "image"}
    assert "html_block" not in {token.type for token in tokens}


def test_without_an_audit() -> None:
    text = model_card(card(kind="watermark"), None)
    assert "Evaluation" not in text and "pipeline_tag" not in text
