"""Scan as a scanner: what fails a build, what is known already, what is ignored until when.

>>> ignore = parse_ignore('''
... [[ignore]]
... path = "docs/*.png"
... reason = "Rendered diagrams, made by hand."
... expires = 2030-01-31
... ''')
>>> from datetime import date
>>> ignore[0].matches("docs/a.png", None), ignore[0].active(date(2030, 2, 1))
(True, False)

Settings come from a flag, else the environment (``COUNTERMARK_FAIL_ON`` …), else the table
``[tool.countermark.scan]`` of ``pyproject.toml``. Nothing in them is executed; unknown keys are refused.
"""

from __future__ import annotations

import difflib
import glob
import json
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from countermark.core.errors import ConfigError
from countermark.core.results import ScanResult

MAX_CONFIG_BYTES = 4 * 1024 * 1024
MAX_BASELINE_BYTES = 512 * 1024 * 1024
MAX_LIST_BYTES = 256 * 1024 * 1024
ENVIRONMENT = "COUNTERMARK_"
IGNORE_FILE = ".countermark-ignore.toml"

FailOn = Literal["declared-synthetic", "likely-synthetic", "unsure", "never"]


class ScanConfig(BaseModel):
    """Settings of a scan.

    Attributes:
        max_fpr: Share of photographs that may be called likely-synthetic.
        fail_on: Lowest verdict that fails the build: declared-synthetic, likely-synthetic, unsure or never.
        stress: Scan under delivery conditions too.
        detector: Name or weights of the detector.
        baseline: An earlier ``countermark.scan/1`` report; its findings do not count again.
        ignore: The ignore file.
        output: Reports to write, ``FORMAT=PATH`` each.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_fpr: float = Field(default=0.01, gt=0, le=0.5)
    fail_on: FailOn = "never"
    stress: bool = False
    detector: str = "default"
    baseline: str = ""
    ignore: str = ""
    output: tuple[str, ...] = ()


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


def scan_config(
    flags: Mapping[str, Any],
    *,
    project: Path | str | None = None,
    environ: Mapping[str, str] | None = None,
) -> ScanConfig:
    """Settings by precedence: flag, environment, project file, default.

    Args:
        flags: Values from the command line; None and empty sequences count as not given.
        project: ``pyproject.toml``, or None to look in the working folder and its parents.
    """
    values: dict[str, Any] = dict(_project_table(_find_project() if project is None else Path(project)))
    for name, field in ScanConfig.model_fields.items():
        text = (os.environ if environ is None else environ).get(ENVIRONMENT + name.upper())
        if text:
            values[name] = tuple(text.split(os.pathsep)) if field.annotation == tuple[str, ...] else text
    values |= {k: v for k, v in flags.items() if v is not None and v != () and v != []}
    return _validate(ScanConfig, values, "The settings of the scan")


def _find_project() -> Path | None:
    here = Path.cwd()
    return next(
        (p / "pyproject.toml" for p in (here, *here.parents) if (p / "pyproject.toml").is_file()), None
    )


def _project_table(path: Path | None) -> Mapping[str, Any]:
    if path is None:
        return {}
    data = _toml(path)
    table = data.get("tool", {}).get("countermark", {}).get("scan", {})
    if not isinstance(table, dict):
        raise ConfigError(f"tool.countermark.scan in {path} is not a table.", code="config.value")
    unknown = sorted(set(data.get("tool", {}).get("countermark", {})) - {"scan"})
    if unknown:
        raise ConfigError(f"{path}: unknown key 'tool.countermark.{unknown[0]}'.", hint="Known: scan.")
    return table


def read_ignore(path: Path | str) -> list[Ignored]:
    """Reads an ignore file."""
    path = Path(path)
    return parse_ignore(_text(path), name=str(path))


def parse_ignore(text: str, *, name: str = "The ignore file") -> list[Ignored]:
    """Parses an ignore file: TOML, one ``[[ignore]]`` an entry."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name} is not valid TOML: {error}.", code="ignore.toml") from error
    entries = data.pop("ignore", [])
    if data or not isinstance(entries, list):
        raise ConfigError(f"{name} holds more than [[ignore]] entries.", code="ignore.value")
    return [_validate(Ignored, e, f"{name}, entry {n}") for n, e in enumerate(entries, 1)]


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
    entry stops working the day after it expires.
    """
    day = today or date.today()
    found: dict[str, dict[str, Any]] = {}
    for result in results:
        if result.verdict is None:
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
    found = [r for r in results if r.verdict is not None]
    return [
        f"The ignore entry for {entry.path or entry.sha256} expired on {entry.expires.isoformat()} "
        "and hides nothing any more."
        for entry in ignore
        if not entry.active(day) and any(entry.matches(r.path, r.sha256) for r in found)
    ]


def scan_exit_code(document: Mapping[str, Any]) -> int:
    """0 nothing that counts, 1 findings at or above ``fail_on``, 2 nothing could be read, 3 no files."""
    counts = document["counts"]
    if not counts["total"]:
        return 3
    if counts["failing"]:
        return 1
    return 2 if counts["error"] == counts["total"] else 0


def read_list(stream: IO[bytes]) -> Iterator[str]:
    """File names from a stream: separated by NUL if there is one, else by line ends."""
    data = stream.read(MAX_LIST_BYTES + 1)
    if len(data) > MAX_LIST_BYTES:
        raise ConfigError("The list of files is too long.", code="scan.list")
    parts = data.split(b"\0") if b"\0" in data else data.splitlines()
    return (os.fsdecode(part) for part in parts if part.strip())


def expand(sources: Iterable[str]) -> list[str]:
    """Expands shell patterns that the shell left alone; names that exist are taken as they are."""
    found: list[str] = []
    for source in sources:
        if glob.has_magic(source) and not os.path.lexists(source):
            matches = sorted(glob.glob(source, recursive=True))
            found += matches
        else:
            found.append(source)
    return list(dict.fromkeys(found))


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise ConfigError(f"{path} is too large.", code="config.too-large")
        return path.read_text("utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"{path} does not exist.", code="config.missing") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.", code="config.unreadable") from error


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.", code="config.toml") from error


def _validate(model: Any, values: Any, where: str) -> Any:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"]))
        if problem["type"] == "extra_forbidden":
            known = sorted(model.model_fields)
            close = difflib.get_close_matches(key, known, n=1)
            guess = f"Did you mean {close[0]!r}? " if close else ""
            raise ConfigError(
                f"{where}: unknown key {key!r}.",
                code="config.unknown-key",
                hint=f"{guess}Known: {', '.join(known)}.",
            ) from error
        raise ConfigError(
            f"{where}: {key + ': ' if key else ''}{problem['msg']}.", code="config.value"
        ) from error
