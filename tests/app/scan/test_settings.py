"""What a scan may be told, from where, and what fails a build."""

from __future__ import annotations

from pathlib import Path

import pytest

from countermark.app.scan.settings import failing, fails, scan_config
from countermark.core.errors import ConfigError
from countermark.core.results import ScanResult, Verdict


def test_flags_before_environment_before_project(tmp_path: Path) -> None:
    project = tmp_path / "pyproject.toml"
    project.write_text('[tool.countermark.scan]\nmax_fpr = 0.02\nfail_on = "unsure"\noutput = ["a.html"]\n')
    environ = {"COUNTERMARK_FAIL_ON": "likely-synthetic", "COUNTERMARK_STRESS": "true"}
    config = scan_config({"max_fpr": None, "detector": "mine"}, project=project, environ=environ)
    assert (config.max_fpr, config.fail_on, config.stress, config.detector) == (
        0.02,
        "likely-synthetic",
        True,
        "mine",
    )
    assert config.output == ("a.html",)
    assert scan_config({"fail_on": "never"}, project=project, environ=environ).fail_on == "never"


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("max_fprr = 0.1", "Did you mean 'max_fpr'"),
        ("max_fpr = 0.9", "must be less than or equal to 0.5, and is 0.9"),
        ('fail_on = "unsur"', "Did you mean 'unsure'"),
        ("[tool.countermark.scans]", "Did you mean 'scan'"),
    ],
)
def test_unknown_settings_are_refused(tmp_path: Path, table: str, says: str) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.countermark.scan]\n{table}\n")
    with pytest.raises(ConfigError, match=says):
        scan_config({}, project=tmp_path / "pyproject.toml", environ={})


def test_a_mistake_is_named_with_the_place_where_it_stands(tmp_path: Path) -> None:
    project = tmp_path / "pyproject.toml"
    project.write_text("[tool.countermark.scan]\nstress = true\n")
    for flags, environ, says in (
        ({"max_fpr": 0.9}, {}, "The option --max-fpr: max_fpr must be"),
        (
            {},
            {"COUNTERMARK_FAIL_ON": "all"},
            "variable COUNTERMARK_FAIL_ON: fail_on is 'all'",
        ),
    ):
        with pytest.raises(ConfigError) as caught:
            scan_config(flags, project=project, environ=environ)
        assert says in str(caught.value)
    project.write_text("[tool.countermark.scan]\nstress = 'perhaps'\n")
    with pytest.raises(ConfigError, match=r"toml: tool\.countermark\.scan: stress must be true or"):
        scan_config({}, project=project, environ={})


@pytest.mark.parametrize(
    ("fail_on", "count"), [("declared-synthetic", 1), ("likely-synthetic", 2), ("unsure", 3), ("never", 0)]
)
def test_what_fails_a_build(fail_on: str, count: int) -> None:
    results = [ScanResult(str(v), "00", v, 0.5) for v in Verdict] + [ScanResult("broken", None, None, None)]
    assert len(failing(results, fail_on)) == count
    assert not fails(Verdict.DECLARED_CAPTURED, "unsure") and not fails(None, "unsure")


def test_an_unknown_bound_is_refused() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'likely-synthetic'"):
        fails(Verdict.UNSURE, "likely-syntetic")
