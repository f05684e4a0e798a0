"""The version, as the installed package states it, looked up when it is first asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    VERSION: str


def __getattr__(name: str) -> str:
    if name != "VERSION":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        found = version("countermark")
    except PackageNotFoundError:  # a source tree that was not installed
        found = "0+unknown"
    globals()["VERSION"] = found
    return found
