"""Generators: networks that make labelled synthetic images, and what is needed to train them.

>>> from countermark.generators import list_generators, load_generator
>>> pictures = load_generator("digits-32").sample(4, seed=7)
>>> pictures.shape, pictures.dtype.name
((4, 32, 32, 3), 'uint8')

Names resolve when they are first used, so importing the package stays fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from countermark.generators.base import LoadedGenerator
    from countermark.generators.data.corpora import write_corpus
    from countermark.generators.families import FAMILIES
    from countermark.generators.gan.training import train_generator
    from countermark.generators.grids import sample_grid
    from countermark.generators.library import list_generators, load_generator

_WHERE = {
    "FAMILIES": "families",
    "LoadedGenerator": "base",
    "list_generators": "library",
    "load_generator": "library",
    "sample_grid": "grids",
    "train_generator": "gan.training",
    "write_corpus": "data.corpora",
}

__all__ = [
    "FAMILIES",
    "LoadedGenerator",
    "list_generators",
    "load_generator",
    "sample_grid",
    "train_generator",
    "write_corpus",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
