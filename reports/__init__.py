"""Reports: one result schema and everything that is rendered from it.

Results are turned into a *document* (plain JSON types, ``"schema": "countermark.scan/1"``), and a
document into any registered format. Nothing here opens an image, a model or a manifest.

>>> from countermark.core.results import ScanResult, Verdict
>>> document = scan_document([ScanResult("a.jpg", "00" * 32, Verdict.NO_EVIDENCE, 0.1)], settings={})
>>> render(document, "badge").strip().splitlines()[1]
'  "color": "lightgrey",'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from countermark.reports.documents import (
        audit_document,
        evaluation_document,
        scan_document,
        verify_document,
        with_baseline,
    )
    from countermark.reports.formats import FORMATS, render, write_report
    from countermark.reports.modelcard import model_card
    from countermark.reports.thumbnails import Thumbnail, make_crop, make_thumbnail

_HOMES = {
    "scan_document": "documents",
    "verify_document": "documents",
    "audit_document": "documents",
    "evaluation_document": "documents",
    "with_baseline": "documents",
    "FORMATS": "formats",
    "render": "formats",
    "write_report": "formats",
    "model_card": "modelcard",
    "Thumbnail": "thumbnails",
    "make_crop": "thumbnails",
    "make_thumbnail": "thumbnails",
}
__all__ = [
    "FORMATS",
    "Thumbnail",
    "audit_document",
    "evaluation_document",
    "make_crop",
    "make_thumbnail",
    "model_card",
    "render",
    "scan_document",
    "verify_document",
    "with_baseline",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"countermark.reports.{_HOMES[name]}"), name)
