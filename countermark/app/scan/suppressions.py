"""What is known already (baseline) and what is ignored until when: findings that do not fail a build.

>>> ignore = parse_ignore('''
... [[ignore]]
... path = "docs/*.png"
... reason = "Rendered diagrams, made by hand."
... expires = 2030-01-31
... ''')
>>> from datetime import date
>>> ignore[0].matches("docs/a.png", None), ignore[0].active(date(2030, 2, 1))
(True, False)
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from countermark.core.configuration import parse_toml, read_text, validated
from countermark.core.errors import ConfigError
from countermark.core.results import ScanResult

MAX_BASELINE_BYTES = 512 * 1024 * 1024
IGNORE_FILE = ".countermark-ignore.toml"


class Ignored(BaseModel):
    """One entry of the ignore file: by content or by path, with a reason and a last day."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: str = ""
    path: str = ""
    reason: str = Field(min_length=10)
    expires: date

    @model_validator(mode="after")
    def _one(self) -> Ignored:
        if bool(self.sha256) == bool(self.path):
            raise ValueError("give either sha256 or path")
        return self

    def matches(self, path: str, sha256: str | None) -> bool:
        """Whether this entry names the file; paths are shell patterns with forward slashes."""
        if self.sha256:
            return sha256 is not None and sha256 == self.sha256.lower()
        return fnmatchcase(path.replace("\\", "/"), self.path)

    def active(self, today: date) -> bool:
        return today <= self.expires


class IgnoreFile(BaseModel):
    """The ignore file: nothing but entries."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ignore: tuple[Ignored, ...] = ()


def read_ignore(path: Path | str) -> list[Ignored]:
    """Reads an ignore file."""
    return parse_ignore(read_text(path, what="list of accepted findings"), name=str(path))


def parse_ignore(text: str, *, name: str = "The ignore file") -> list[Ignored]:
    """Parses an ignore file: TOML, one ``[[ignore]]`` an entry."""
    return list(validated(IgnoreFile, parse_toml(text, name), name).ignore)


def read_baseline(path: Path | str) -> set[tuple[str, str]]:
    """``(sha256, verdict)`` of every finding of an earlier ``countermark.scan/1`` JSON report."""
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BASELINE_BYTES:
            raise ConfigError(f"{path} is too large for a baseline.", code="baseline.too-large")
        document = json.loads(path.read_text("utf-8"))
        if document["schema"] != "countermark.scan/1":
            raise KeyError("schema")
        rows = [(row["sha256"], row["verdict"]) for row in document["results"]]
    except FileNotFoundError as error:
        raise ConfigError(f"The baseline {path} does not exist.", code="baseline.missing") from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(
            f"{path} is not a JSON report of a scan.",
            code="baseline.invalid",
            hint="Make one with: countermark scan … --output json=baseline.json",
        ) from error
    return {(str(sha), str(verdict)) for sha, verdict in rows if sha and verdict}


def suppressions(
    results: Iterable[ScanResult],
    *,
    ignore: Sequence[Ignored] = (),
    baseline: set[tuple[str, str]] | None = None,
    today: date | None = None,
) -> dict[str, dict[str, Any]]:
    """By path: why a finding does not count, for ``reports.scan_document(..., suppressed=…)``.

    A finding of the baseline counts again as soon as the file or its verdict changes; an ignore
    entry stops working the day after it expires. An ignore entry that names the path of a file that
    cannot be read holds for that too.
    """
    day = today or date.today()
    found: dict[str, dict[str, Any]] = {}
    for result in results:
        if result.verdict is None and result.error is None:
            continue
        entry = next((e for e in ignore if e.active(day) and e.matches(result.path, result.sha256)), None)
        if entry is not None:
            found[result.path] = {
                "by": "ignore",
                "reason": entry.reason,
                "expires": entry.expires.isoformat(),
            }
        elif baseline and (result.sha256, str(result.verdict)) in baseline:
            found[result.path] = {"by": "baseline", "reason": "Known from the baseline."}
    return found


def expired(
    results: Iterable[ScanResult], ignore: Sequence[Ignored], *, today: date | None = None
) -> list[str]:
    """A sentence for each ignore entry that would hide a finding if its last day had not passed."""
    day = today or date.today()
    found = [r for r in results if r.verdict is not None or r.error is not None]
    return [
        f"The ignore entry for {entry.path or entry.sha256} expired on {entry.expires.isoformat()} "
        "and hides nothing any more."
        for entry in ignore
        if not entry.active(day) and any(entry.matches(r.path, r.sha256) for r in found)
    ]
