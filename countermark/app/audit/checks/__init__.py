"""The registered checks. Importing this package registers all of them; none loads a model yet."""

from __future__ import annotations

from countermark.app.audit.checks import detector, pipeline
from countermark.app.audit.checks.base import CHECKS, Check, Context, Measured, Slice, register

__all__ = ["CHECKS", "Check", "Context", "Measured", "Slice", "detector", "pipeline", "register"]
