"""The registry of report formats; each renders a document and needs nothing else.

>>> FORMATS.names()
['console', 'json', 'html', 'markdown', 'csv', 'sarif', 'junit', 'cyclonedx', 'in-toto', 'badge']
>>> parse_output("report.html")
('html', PosixPath('report.html'))

A format is added with ``FORMATS.register(name, Format(...))``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from countermark.core.errors import ConfigError
from countermark.core.files import atomic_write
from countermark.core.registry import Registry
from countermark.reports.canonical import Document, dumps
from countermark.reports.documents import SCHEMAS, kind_of
from countermark.reports.thumbnails import Thumbnail


@dataclass(frozen=True)
class Options:
    """What a renderer may need beside the document.

    Attributes:
        images: Thumbnails by the path (or SHA-256) that the document gives, for HTML.
        width: Columns of the console.
        colour: Whether the console text carries ANSI colours.
        comment: Markdown short enough for a pull-request comment (64 KB) instead of a step
            summary (1 MiB).
    """

    images: Mapping[str, Thumbnail] = field(default_factory=dict)
    width: int = 110
    colour: bool = False
    comment: bool = False


Render = Callable[[Document, Options], str]


@dataclass(frozen=True)
class Format:
    """One output format: its file suffixes, media type, renderer and the documents it takes."""

    suffixes: tuple[str, ...]
    media_type: str
    render: Render
    kinds: tuple[str, ...] = SCHEMAS


FORMATS: Registry[Format] = Registry("report format")


def _lazy(module: str) -> Render:
    def render_with(document: Document, options: Options) -> str:
        function: Render = import_module(f"countermark.reports.{module}").render
        return function(document, options)

    return render_with


FORMATS.register("console", Format((".txt",), "text/plain", _lazy("console")))
FORMATS.register("json", Format((".json",), "application/json", lambda d, _: dumps(d)))
FORMATS.register("html", Format((".html", ".htm"), "text/html", _lazy("html")))
FORMATS.register("markdown", Format((".md",), "text/markdown", _lazy("markdown")))
FORMATS.register("csv", Format((".csv",), "text/csv", _lazy("tables"), ("scan", "verify")))
FORMATS.register(
    "sarif",
    Format((".sarif",), "application/sarif+json", _lazy("sarif"), ("scan", "verify", "audit")),
)
FORMATS.register("junit", Format((".xml",), "application/xml", _lazy("junit"), ("scan", "verify", "audit")))
FORMATS.register(
    "cyclonedx",
    Format((), "application/vnd.cyclonedx+json", _lazy("cyclonedx"), ("audit",)),
)
FORMATS.register("in-toto", Format((), "application/vnd.in-toto+json", _lazy("intoto"), ("audit",)))
FORMATS.register("badge", Format((), "application/json", _lazy("badge"), ("scan", "verify", "audit")))


def render(
    document: Document,
    format: str,
    *,
    images: Mapping[str, Thumbnail] | None = None,
    **options: Any,
) -> str:
    """Renders ``document``.

    Args:
        document: From ``scan_document`` and its like.
        format: A name from ``FORMATS``.
        images: Thumbnails by path or SHA-256; only HTML shows them.
        options: Further fields of ``Options``.

    Raises:
        UnknownNameError: no such format.
        ConfigError: the format does not take this kind of document.
    """
    entry = FORMATS.get(format)
    kind = kind_of(document)
    if kind not in entry.kinds:
        able = [n for n in FORMATS if kind in FORMATS.get(n).kinds]
        raise ConfigError(
            f"There is no {format} form of a {kind} document.",
            code="report.format",
            hint=f"Use one of {', '.join(able)}.",
        )
    return entry.render(document, Options(images=images or {}, **options))


def parse_output(spec: str) -> tuple[str, Path]:
    """Splits ``FORMAT=PATH``; a bare path goes by its suffix."""
    name, equals, path = spec.partition("=")
    if equals and path and name in FORMATS:
        return name, Path(path)
    if equals and "/" not in name and "." not in name:
        FORMATS.get(name)
        raise ConfigError(f"No path is given in {spec!r}.", code="report.output", hint="Write FORMAT=PATH.")
    suffix = Path(spec).suffix.lower()
    for known in FORMATS:
        if suffix and suffix in FORMATS.get(known).suffixes:
            return known, Path(spec)
    raise ConfigError(
        f"The format of {spec!r} is not clear.",
        code="report.output",
        hint=f"Write FORMAT=PATH with one of {', '.join(FORMATS)}.",
    )


def write_report(
    document: Document,
    output: str,
    *,
    images: Mapping[str, Thumbnail] | None = None,
    overwrite: bool = False,
    **options: Any,
) -> Path:
    """Renders into a file, whole or not at all.

    Args:
        output: ``FORMAT=PATH``, or a path whose suffix says the format.
        overwrite: Whether an existing report is replaced.

    Raises:
        OutputError: the file exists, or cannot be written.
    """
    format, path = parse_output(output)
    text = render(document, format, images=images, **options)
    return atomic_write(path, text.encode("utf-8", "backslashreplace"), overwrite=overwrite)
