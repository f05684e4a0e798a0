"""What an image was made from: its parent, its components, the inputs of its model.

Ingredients bring their own credentials along, so that history is never dropped on signing.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from countermark.core.errors import ProvenanceError
from countermark.core.images import DEFAULT_LIMITS, Limits, read_bytes
from countermark.provenance.credentials import codes
from countermark.provenance.credentials.bounds import out_of_bounds
from countermark.provenance.credentials.claims import COMPONENT_ID, INPUT_ID, PARENT_ID
from countermark.provenance.credentials.contexts import require_mime
from countermark.provenance.credentials.jumbf import carries_store

Source = Path | str | bytes


@dataclass(frozen=True)
class Ingredient:
    """Something that an image was made from.

    Attributes:
        source: Its file or bytes; its own credentials, if any, are kept.
        relationship: ``parentOf`` (the image was edited from it), ``componentOf`` (it was placed
            in it) or ``inputTo`` (a model was given it); None lets ``sign_image`` choose.
        title: Shown to people; the file's name by default.
    """

    source: Source
    relationship: str | None = None
    title: str | None = None


def add_ingredient(builder: Any, facts: dict[str, Any], mime: str, content: bytes) -> None:
    """Adds one ingredient to a c2pa builder.

    Raises:
        ProvenanceError: ``history.unreadable`` when its own credentials are damaged.
    """
    import c2pa

    reason = out_of_bounds(content)
    if reason is not None:
        raise ProvenanceError(
            f"The earlier credentials of {facts['title']} are not read. {codes.sentence(reason)}",
            code="history.unreadable",
            hint="Sign an undamaged copy, or forget the history on purpose with keep_history=False.",
        )
    try:
        builder.add_ingredient(facts, mime, io.BytesIO(content))
    except c2pa.C2paError as error:
        raise ProvenanceError(
            f"The earlier credentials of {facts['title']} cannot be read ({error}).",
            code="history.unreadable",
            hint="Sign an undamaged copy, or forget the history on purpose with keep_history=False.",
        ) from error


def collect(
    history: bytes,
    parents: Sequence[Source | Ingredient],
    keep_history: bool,
    name: str,
    limits: Limits = DEFAULT_LIMITS,
) -> list[tuple[dict[str, Any], str, bytes]]:
    """Ingredient facts, media type and bytes; the parent, if there is one, first."""
    given = [each if isinstance(each, Ingredient) else Ingredient(each) for each in parents]
    if keep_history and carries_store(history):
        given.insert(0, Ingredient(history, "parentOf", Path(name).name))
    elif len(given) == 1 and given[0].relationship is None:
        given[0] = replace(given[0], relationship="parentOf")
    given.sort(key=lambda each: each.relationship != "parentOf")
    if sum(each.relationship == "parentOf" for each in given) > 1:
        raise ProvenanceError(
            "An image has one parent at most.",
            code="ingredient.parents",
            hint="Pass the others as components.",
        )
    result: list[tuple[dict[str, Any], str, bytes]] = []
    counts = {COMPONENT_ID: 0, INPUT_ID: 0}
    for each in given:
        content = each.source if isinstance(each.source, bytes) else read_bytes(each.source, limits)
        title = each.title or ("ingredient" if isinstance(each.source, bytes) else Path(each.source).name)
        relationship = each.relationship or "componentOf"
        label = PARENT_ID
        if relationship != "parentOf":
            form = INPUT_ID if relationship == "inputTo" else COMPONENT_ID
            label = form.format(counts[form])
            counts[form] += 1
        facts = {"title": title, "relationship": relationship, "label": label}
        result.append((facts, require_mime(content, title), content))
    return result
