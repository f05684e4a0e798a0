"""Models: the cards of everything that ships in the package.

>>> [card.name for card in list_models("generator")][:1]    # doctest: +SKIP
['digits-32']
"""

from __future__ import annotations

from countermark.core.errors import UnknownNameError
from countermark.core.weights import WeightsCard

KINDS = ("detector", "generator")


def list_models(kind: str | None = None) -> list[WeightsCard]:
    """Cards of the shipped models, detectors first; ``kind`` picks one kind."""
    from countermark.detectors import list_detectors
    from countermark.generators import list_generators

    if kind not in (None, *KINDS):
        raise UnknownNameError(f"There is no kind {kind!r}.", hint=f"Known: {', '.join(KINDS)}.")
    cards: list[WeightsCard] = []
    if kind in (None, "detector"):
        cards += list_detectors()
    if kind in (None, "generator"):
        cards += list_generators()
    return cards


def get_model(name: str) -> WeightsCard:
    """The card of one shipped model; UnknownNameError lists the known ones."""
    cards = {card.name: card for card in list_models()}
    if name not in cards:
        raise UnknownNameError(f"There is no model {name!r}.", hint=f"Known: {', '.join(cards)}.")
    return cards[name]
