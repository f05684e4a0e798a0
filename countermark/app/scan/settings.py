"""What a scan may be told, and what of its outcome fails a build.

Settings come from a flag, else the environment (``COUNTERMARK_FAIL_ON`` …), else the table
``[tool.countermark.scan]`` of ``pyproject.toml``. Nothing in them is executed; unknown keys are refused.

>>> fails(Verdict.LIKELY_SYNTHETIC, "unsure"), fails(Verdict.UNSURE, "likely-synthetic")
(True, False)
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from countermark.core.configuration import choice, read_toml, unknown_key, validated
from countermark.core.errors import ConfigError
from countermark.core.results import ScanResult, Verdict

if TYPE_CHECKING:
    from countermark.detectors import Detector

ENVIRONMENT = "COUNTERMARK_"

DEFAULT_MAX_FPR = 0.01

#: Verdicts that may fail a build, from the one that does first; the others never do.
SEVERITY = (Verdict.DECLARED_SYNTHETIC, Verdict.LIKELY_SYNTHETIC, Verdict.UNSURE)
FailOn = Literal["declared-synthetic", "likely-synthetic", "unsure", "never"]
OnError = Literal["fail", "warn", "ignore"]
#: Read and examined, only too small for the detector: no reason to fail a build that gates on verdicts.
_EXAMINED = frozenset({"image.too-small"})


class ScanConfig(BaseModel):
    """Settings of a scan.

    Attributes:
        max_fpr: Share of photographs that may be called likely-synthetic; None: that of the file of
            thresholds, or ``DEFAULT_MAX_FPR`` without one.
        fail_on: Lowest verdict that fails the build: declared-synthetic, likely-synthetic, unsure or never.
        on_error: What becomes of files that could not be scanned: ``fail`` the build, ``warn``, ``ignore``;
            None: fail where ``fail_on`` sets a gate, which must not pass what nobody has seen.
        stress: Scan under delivery conditions too.
        detector: Name or weights of the detector.
        thresholds: File of thresholds that ``calibrate`` wrote.
        baseline: An earlier ``countermark.scan/1`` report; its findings do not count again.
        ignore: The ignore file.
        output: Reports to write, ``FORMAT=PATH`` each.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_fpr: float | None = Field(default=None, gt=0, le=0.5)
    fail_on: FailOn = "never"
    on_error: OnError | None = None
    stress: bool = False
    detector: str = "default"
    thresholds: str = ""
    baseline: str = ""
    ignore: str = ""
    output: tuple[str, ...] = ()

    @property
    def errors(self) -> OnError:
        """``on_error``, with what it is by default."""
        return self.on_error or ("warn" if self.fail_on == "never" else "fail")


def scan_config(
    flags: Mapping[str, object],
    *,
    project: Path | str | None = None,
    environ: Mapping[str, str] | None = None,
) -> ScanConfig:
    """Settings by precedence: flag, environment, project file, default.

    Args:
        flags: Values from the command line; None and empty sequences count as not given.
        project: ``pyproject.toml``, or None to look in the working folder and its parents.
    """
    path = _find_project() if project is None else Path(project)
    values: dict[str, object] = dict(_project_table(path))
    homes = dict.fromkeys(values, f"{path}: tool.countermark.scan")
    for name, field in ScanConfig.model_fields.items():
        variable = ENVIRONMENT + name.upper()
        text = (os.environ if environ is None else environ).get(variable)
        if text:
            values[name] = tuple(text.split(os.pathsep)) if field.annotation == tuple[str, ...] else text
            homes[name] = f"The environment variable {variable}"
    for name, value in flags.items():
        if value is not None and value != () and value != []:
            values[name], homes[name] = value, f"The option --{name.replace('_', '-')}"
    for name in list(homes):  # each by itself first, so that a mistake is named with its place
        validated(ScanConfig, {name: values[name]}, homes[name])
    return validated(ScanConfig, values, "The settings of the scan")


def _find_project() -> Path | None:
    here = Path.cwd()
    return next(
        (p / "pyproject.toml" for p in (here, *here.parents) if (p / "pyproject.toml").is_file()), None
    )


def _project_table(path: Path | None) -> Mapping[str, object]:
    if path is None:
        return {}
    tables = read_toml(path).get("tool", {}).get("countermark", {})
    for key in tables:
        if key != "scan":
            raise unknown_key(f"{path}: tool.countermark", key, ["scan"])
    table = tables.get("scan", {})
    if not isinstance(table, dict):
        raise ConfigError(f"tool.countermark.scan in {path} is not a table.", code="config.value")
    return table


def chosen_detector(config: ScanConfig) -> tuple[Detector, float]:
    """The detector with its thresholds, and the false-positive rate that counts.

    Raises:
        ConfigError: ``calibration.too-few``: a lower rate than the photographs behind the thresholds can
            show; and as ``with_thresholds``.
        UnknownNameError, WeightsError: as ``load_detector``.
    """
    from countermark.detectors import load_detector, with_thresholds

    model = load_detector(config.detector)
    if not config.thresholds:
        return model, config.max_fpr or DEFAULT_MAX_FPR
    own = with_thresholds(model, config.thresholds)
    rate = config.max_fpr or own.max_fpr
    own.thresholds(rate)  # refused now rather than after the first pictures
    return own, rate


def fails(verdict: Verdict | None, fail_on: str) -> bool:
    """Whether ``verdict`` stands at or above ``fail_on``: declared before likely before unsure.

    Raises:
        ConfigError: ``config.value``, for a ``fail_on`` that is none of ``FailOn``.
    """
    known = [str(v) for v in SEVERITY]
    if fail_on not in (*known, "never"):
        raise choice("The settings of the scan", "fail_on", fail_on, [*known, "never"])
    if fail_on == "never" or verdict not in SEVERITY:
        return False
    return SEVERITY.index(verdict) <= known.index(fail_on)


def failing(results: Iterable[ScanResult], fail_on: str) -> frozenset[str]:
    """Paths of the findings that fail the build, if nothing suppresses them; for ``scan_document``."""
    return frozenset(result.path for result in results if fails(result.verdict, fail_on))


def unreadable(results: Iterable[ScanResult], on_error: OnError) -> dict[str, str]:
    """By path: the severity of files that could not be scanned; for ``scan_document``."""
    level = {"fail": "error", "warn": "warning", "ignore": "none"}[on_error]
    return {
        result.path: "warning" if result.error.code in _EXAMINED and level == "error" else level
        for result in results
        if result.error is not None
    }


def scan_exit_code(document: Mapping[str, Any]) -> int:
    """0 nothing that counts, 1 findings at or above ``fail_on``, 2 not scanned, 3 no files.

    Not scanned: a file that counts (``on_error``) could not be read, or nothing could, or one that was
    asked for is not there and that is not to be ignored.
    """
    counts = document["counts"]
    if not counts["total"]:
        return 3
    if counts["failing"]:
        return 1
    missing = any(
        (row.get("error") or {}).get("code") == "image.missing" and row["finding"]["severity"] != "none"
        for row in document["results"]
    )
    return 2 if counts["unreadable"] or missing or counts["error"] == counts["total"] else 0
