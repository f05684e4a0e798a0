"""Jupyter: results that show themselves as tables.

``countermark.scan`` returns a list that does so by itself. Single results, verifications and reports of
audits do it once a notebook has run ``%load_ext countermark``.
"""

from __future__ import annotations

from typing import Any

from countermark.core.results import AuditReport, ScanResult, Verification


class ScanResults(list[ScanResult]):
    """The results of a scan: a list, and a table in a notebook."""

    def _repr_html_(self) -> str:
        from countermark.reports import scan_document
        from countermark.reports.notebook import table

        return table(scan_document(self, settings={}))


def as_html(result: ScanResult | Verification | AuditReport) -> str:
    """One result, verification or report of an audit as an HTML table."""
    from countermark.reports import audit_document, scan_document, verify_document
    from countermark.reports.notebook import table

    if isinstance(result, ScanResult):
        return table(scan_document([result], settings={}))
    if isinstance(result, Verification):
        return table(verify_document([result]))
    return table(audit_document(result))


def register(shell: Any) -> None:
    """Makes an IPython shell show results as tables."""
    formatter = shell.display_formatter.formatters["text/html"]
    for kind in (ScanResult, Verification, AuditReport):
        formatter.for_type(kind, as_html)
