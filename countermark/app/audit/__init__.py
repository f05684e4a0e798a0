"""Audits: a written policy against a detector, a generator or a signing pipeline.

>>> import countermark as cm                        # doctest: +SKIP
>>> report = cm.audit("policies/detector.toml")     # doctest: +SKIP
>>> report.passed, report.exit_code                 # doctest: +SKIP
(True, 0)

A policy names its subject, its evidence and its checks; nothing in it is executed. Every check is a
small class (``checks/``), named by its id; ``explain`` documents it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from countermark.app.audit.checks import CHECKS
    from countermark.app.audit.explaining import explain
    from countermark.app.audit.loading import load_policy
    from countermark.app.audit.runner import audit, audit_with_images, combine
    from countermark.app.audit.schema import Policy
    from countermark.app.audit.starters import starter

_HOMES = {
    "audit": "runner",
    "audit_with_images": "runner",
    "combine": "runner",
    "CHECKS": "checks",
    "explain": "explaining",
    "Policy": "schema",
    "load_policy": "loading",
    "starter": "starters",
}
__all__ = ["CHECKS", "Policy", "audit", "audit_with_images", "combine", "explain", "load_policy", "starter"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"countermark.app.audit.{_HOMES[name]}"), name)
