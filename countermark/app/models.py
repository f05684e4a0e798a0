"""Models: the cards of everything that ships in the package.

>>> [card.name for card in list_models("generator")][:1]    # doctest: +SKIP
['digits-32']
"""

from __future__ import annotations

from countermark.core.errors import UnknownNameError, known_names
from countermark.core.weights import WeightsCard, read_card, shipped_cards

KINDS = ("detector", "generator")


def list_models(kind: str | None = None) -> list[WeightsCard]:
    """Cards of the shipped models, detectors first; ``kind`` picks one kind."""
    from countermark.detectors.library import WEIGHTS as DETECTORS
    from countermark.generators.library import WEIGHTS as GENERATORS

    if kind not in (None, *KINDS):
        raise UnknownNameError(f"There is no kind {kind!r}.", hint=known_names(kind or "", KINDS))
    cards: list[WeightsCard] = []
    for name, folder in (("detector", DETECTORS), ("generator", GENERATORS)):
        if kind in (None, name):
            cards += [read_card(path) for path in shipped_cards(folder).values()]
    return cards


def get_model(name: str) -> WeightsCard:
    """The card of one shipped model; UnknownNameError lists the known ones."""
    cards = {card.name: card for card in list_models()}
    if name not in cards:
        raise UnknownNameError(f"There is no model {name!r}.", hint=known_names(name, cards))
    return cards[name]
