"""Strings from images, manifests and file names are hostile: made visible, escaped, cut.

>>> visible("holiday\\u202egpj.exe")
'holiday\\\\u202egpj.exe'
>>> code_span("a`b")
'`` a`b ``'
"""

from __future__ import annotations

import math
import re
import unicodedata

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|~>])")


def visible(value: object, limit: int = 2000) -> str:
    """Text in which control, bidirectional, zero-width and unpaired characters are spelled out.

    Args:
        value: Anything; turned into text first.
        limit: Characters that are kept; the rest becomes an ellipsis.
    """
    text = str(value)
    if len(text) > limit:
        text = text[:limit] + "…"
    if text.isascii() and text.isprintable():
        return text
    return "".join(_spell(c) if unicodedata.category(c) in _HIDDEN else c for c in text)


def _spell(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def lines(text: str) -> str:
    """Text of several lines as a terminal or a build's log may show it.

    Everything but line ends as ``visible`` has it, and nothing that a build server would obey:

    >>> lines("::error::done\\nphoto\\x1b[2J.png: ok")
    '\\\\x3a:error::done\\nphoto\\\\x1b[2J.png: ok'
    """
    return inert("\n".join(visible(line, limit=20_000) for line in text.split("\n")), "\\x3a", "\\x23")


def inert(text: str, colon: str, hash_: str) -> str:
    """Text without the commands that build servers take from a log (``::name::`` at a line's beginning,
    ``##[name]`` and ``##vso[name]`` anywhere), their first character spelled as given."""
    text = _FIRST.sub(lambda found: found[1] + colon, text)
    return _COMMAND.sub(lambda _: hash_, text)


_FIRST = re.compile(r"^([^\S\n]*):(?=:)", re.MULTILINE)
_COMMAND = re.compile(r"#(?=#(?:vso)?\[)")


def markdown_text(value: object) -> str:
    """Escapes for Markdown: no mark-up, link, mention or HTML comes out of ``value``."""
    text = _MARKDOWN.sub(r"\\\1", visible(value))
    text = text.replace("&", "&amp;").replace("<", "&lt;")
    return text.replace("@", "&#64;").replace("://", ":&#47;&#47;")


def code_span(value: object) -> str:
    """A Markdown code span that holds ``value`` whatever back-ticks and pipes are in it."""
    text = visible(value).replace("|", "\\|")
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if longest or not text.strip() else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def figure(value: float | None, unit: str = "") -> str:
    """A figure for people: shares as per cent, other units after the number, ``–`` for none."""
    if value is None or not math.isfinite(value):
        return "–"
    if unit == "share":
        return f"{100 * value:.1f} %"
    if unit in ("", "AUROC"):
        return f"{value:.3f}" if abs(value) < 10 else f"{value:.4g}"
    return f"{value:.4g} {unit}"


def plural(count: int, one: str, many: str | None = None) -> str:
    """``1 image``, ``2 images``; thousands separated."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
