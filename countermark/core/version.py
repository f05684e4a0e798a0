"""The version, as the installed package states it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("countermark")
except PackageNotFoundError:  # a source tree that was not installed
    VERSION = "0+unknown"
