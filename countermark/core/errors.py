"""Typed errors. Each says what went wrong and what to do next.

>>> str(ImageError("photo.jpg is empty.", code="image.empty", hint="Check the download."))
'photo.jpg is empty. Check the download.'
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class CountermarkError(Exception):
    """Base of every error that Countermark raises on purpose.

    Args:
        message: What happened, one sentence, with the name of the thing it happened to.
        code: Stable machine-readable code such as ``image.truncated``.
        hint: What the reader can do about it; may be empty.
    """

    default_code = "error"

    def __init__(self, message: str, *, code: str | None = None, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class ImageError(CountermarkError):
    """An image could not be read, or may not be: see ``code``."""

    default_code = "image.unreadable"


class ClipError(ImageError):
    """A clip could not be read, or may not be: see ``code``."""

    default_code = "clip.unreadable"


class OutputError(CountermarkError):
    """An output could not be written, or would overwrite something."""

    default_code = "output.failed"


class UnknownNameError(CountermarkError):
    """A name that no registry entry carries."""

    default_code = "name.unknown"


class WeightsError(CountermarkError):
    """Weights are missing, damaged, of another family, or in an unsafe format."""

    default_code = "weights.invalid"


class CorpusError(CountermarkError):
    """A labelled folder cannot be used as it is."""

    default_code = "corpus.invalid"


class ConfigError(CountermarkError):
    """A policy, recipe or option is not understood."""

    default_code = "config.invalid"


class TrainingError(CountermarkError):
    """Training stopped: no data, a loss that is not a number, no disk space."""

    default_code = "training.failed"


class ProvenanceError(CountermarkError):
    """A credential, certificate, key or mark could not be made or read."""

    default_code = "provenance.failed"


class MissingExtraError(CountermarkError):
    """An optional dependency is not installed."""

    default_code = "install.missing-extra"

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"This needs the package {package!r}, which is not installed.",
            hint=f"Install it with: pip install 'countermark[{extra}]'",
        )


def known_names(word: str, known: Iterable[str]) -> str:
    """The hint after a name that nobody knows: the nearest known one, if any is near, and all of them.

    >>> known_names("colour", ["color", "size"])
    "Did you mean 'color'? Known: color, size."
    """
    names = list(known)
    close = difflib.get_close_matches(word, names, n=1)
    guess = f"Did you mean {close[0]!r}? " if close else ""
    return f"{guess}Known: {', '.join(names) or 'none'}."
