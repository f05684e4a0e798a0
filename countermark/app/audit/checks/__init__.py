"""The registered checks. Importing this package registers all of them; none loads a model yet."""

from __future__ import annotations

from countermark.app.audit.checks import (
    attacks,
    cost,
    detector,
    generator,
    laundering,
    leakage,
    marks,
    pipeline,
    robust,
    weights,
)
from countermark.app.audit.checks.base import CHECKS, Check, Context, Measured, Slice, register

__all__ = [
    "CHECKS",
    "Check",
    "Context",
    "Measured",
    "Slice",
    "attacks",
    "cost",
    "detector",
    "generator",
    "laundering",
    "leakage",
    "marks",
    "pipeline",
    "register",
    "robust",
    "weights",
]
