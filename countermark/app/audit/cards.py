"""A model card from an audit's report: the weights' card, the audit's figures, what they are towards.

>>> text = card_from_audit(document)                  # doctest: +SKIP
>>> text.startswith("---")                            # doctest: +SKIP
True
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from countermark.app.rooms import Rooms
from countermark.core.errors import ConfigError
from countermark.core.weights import read_card
from countermark.reports import model_card
from countermark.reports.documents import kind_of


def card_from_audit(
    document: Mapping[str, Any], *, weights: Path | str | None = None, rooms: Rooms | None = None
) -> str:
    """Markdown with Hugging Face front matter.

    Args:
        document: A ``countermark.audit/1`` document.
        weights: The subject's weights, where the report names a path that does not lead there from here.

    Raises:
        ConfigError: no audit of a detector or generator, or not of the weights that lie there now.
    """
    if kind_of(document) != "audit":
        raise ConfigError("A model card is made from the JSON report of an audit.", code="card.report")
    subject = document["subject"]
    kind, name = str(subject.get("kind", "")), str(subject.get("name", ""))
    if kind not in ("detector", "generator"):
        raise ConfigError(f"A {kind or 'subject'} has no model card.", code="card.subject")
    if weights is None:
        shipped = "/" not in name and not name.endswith(".safetensors")
        weights = (rooms or Rooms()).weights_folder(kind) / f"{name}.safetensors" if shipped else name
    card = read_card(Path(weights))
    if subject.get("sha256") and subject["sha256"] != card.sha256:
        raise ConfigError(
            f"The report is about other weights of {name} (sha256 {str(subject['sha256'])[:16]}…).",
            code="card.other-weights",
            hint="Run the audit again.",
        )
    return model_card(card.model_dump(mode="json"), document)
