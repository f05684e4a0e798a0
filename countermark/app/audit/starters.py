"""Commented starter policies, printed by ``countermark audit init``."""

from __future__ import annotations

from importlib import resources

from countermark.core.errors import UnknownNameError, known_names

NAMES = ("detector", "generator", "pipeline", "demo")


def starter(kind: str) -> str:
    """The TOML text of a starter policy: ``detector``, ``generator``, ``pipeline`` or ``demo``."""
    if kind not in NAMES:
        raise UnknownNameError(f"There is no starter policy {kind!r}.", hint=known_names(kind, NAMES))
    return resources.files(__package__).joinpath(f"starters/{kind}.toml").read_text("utf-8")
