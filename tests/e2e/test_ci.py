"""CI plumbing: the shell steps of the action run here, with the installed command."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from countermark.core.images import write_image

ROOT = Path(__file__).parents[2]
BASH = shutil.which("bash")
pytestmark = pytest.mark.skipif(BASH is None, reason="the steps are bash")
POLICY = """
schema = "countermark.policy/1"
name = "Weights only"
[subject]
kind = "generator"
name = "digits-32"
{sha256}
[[checks]]
id = "weights.checksum"
"""


def steps() -> dict[str, dict]:
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    return {step["name"]: step for step in action["runs"]["steps"] if "run" in step}


@pytest.fixture
def job(tmp_path: Path):
    """Runs one shell step as GitHub does: ``bash -e -o pipefail``, inputs in the environment."""
    (tmp_path / "repo").mkdir()
    environ = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
        "COUNTERMARK_HOME": str(tmp_path / "home"),
    }

    def run(name: str, **inputs: str) -> subprocess.CompletedProcess[str]:
        step = steps()[name]
        assert set(inputs) == set(step["env"])
        command = [BASH, "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", step["run"]]
        return subprocess.run(
            command,
            cwd=tmp_path / "repo",
            env={**environ, **inputs},
            capture_output=True,
            text=True,
            timeout=300,
        )

    run.root = tmp_path
    return run


def inputs(command: str, paths: str, **more: str) -> dict[str, str]:
    defaults = {"COMMAND": command, "PATHS": paths, "FAIL_ON": "likely-synthetic", "MAX_FPR": "0.01"}
    return {**defaults, "ARGUMENTS": "", "REPORTS": "reports", **more}


def output(job) -> dict[str, str]:
    return dict(line.split("=", 1) for line in (job.root / "output").read_text().splitlines())


@pytest.mark.parametrize(
    ("sha256", "code", "word"), [("", 0, "passed"), (f'sha256 = "{"0" * 64}"', 1, "failed")]
)
def test_audit_step(job, sha256: str, code: int, word: str) -> None:
    (job.root / "repo" / "a policy; echo hacked.toml").write_text(POLICY.format(sha256=sha256))
    done = job("Run", **inputs("audit", "a policy; echo hacked.toml"))
    assert done.returncode == 0, done.stderr
    assert "hacked\n" not in done.stdout
    assert output(job) == {"exit-code": str(code), "reports": "reports"}
    assert f"Audit {word}" in (job.root / "summary").read_text()
    reports = {p.name for p in (job.root / "repo" / "reports").iterdir()}
    assert reports == {f"report.{s}" for s in ("json", "html", "sarif", "xml", "md")}
    result = job("Result", CODE=str(code))
    assert result.returncode == code


def test_scan_step(job) -> None:
    ramp = np.tile(np.arange(96, dtype=np.uint8)[:, None, None], (1, 128, 3))
    write_image(job.root / "repo" / "art" / "ramp.png", ramp)
    (job.root / "repo" / "art" / "broken.jpg").write_bytes(b"\xff\xd8\xff no image")
    done = job("Run", **inputs("scan", "art", FAIL_ON="never", ARGUMENTS="--no-marks"))
    assert done.returncode == 0, done.stderr
    assert output(job)["exit-code"] == "0"
    document = json.loads((job.root / "repo" / "reports" / "report.json").read_text())
    assert [(r["path"], r["error"] is None) for r in document["results"]] == [
        ("art/broken.jpg", False),
        ("art/ramp.png", True),
    ]
    assert "Countermark scan: 2 images" in (job.root / "summary").read_text()


def test_wrong_command_and_empty_folder(job) -> None:
    assert job("Run", **inputs("delete", ".")).returncode == 4
    (job.root / "repo" / "empty").mkdir()
    done = job("Run", **inputs("scan", "empty"))
    assert done.returncode == 0 and output(job)["exit-code"] == "3"
    assert job("Result", CODE="3").returncode == 0 and job("Result", CODE="2").returncode == 2


def test_inputs_are_never_pasted_into_shell() -> None:
    for step in steps().values():
        assert "${{" not in step["run"]
        assert subprocess.run([BASH, "-n", "-c", step["run"]], check=False).returncode == 0


def test_every_input_is_used_and_described() -> None:
    text = (ROOT / "action.yml").read_text()
    action = yaml.safe_load(text)
    for name, value in action["inputs"].items():
        assert value["description"] and f"inputs.{name}" in text


def options_of(command: str) -> str:
    done = subprocess.run(
        [Path(sys.executable).parent / "countermark", command, "--help"],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "300", "TERM": "dumb"},
        check=True,
    )
    return re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)


def test_hooks_and_template_call_what_there_is() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert {h["id"] for h in hooks} == {"countermark-scan", "countermark-signed"}
    for hook in hooks:
        _, command, *arguments = shlex.split(hook["entry"])
        assert all(a in options_of(command) for a in arguments if a.startswith("--"))
    spec, jobs = yaml.safe_load_all((ROOT / "templates" / "countermark.yml").read_text())
    assert set(spec["spec"]["inputs"]["command"]["options"]) == {"scan", "audit"}
    (content,) = jobs.values()
    assert content["artifacts"]["reports"]["junit"].endswith("report.xml")
    for name in spec["spec"]["inputs"]:
        assert f"inputs.{name} ]]" in (ROOT / "templates" / "countermark.yml").read_text()


def test_signed_hook_refuses_an_unsigned_asset(tmp_path: Path) -> None:
    write_image(tmp_path / "made.png", np.zeros((64, 64, 3), np.uint8))
    hook = next(
        h for h in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text()) if "signed" in h["id"]
    )
    command = [str(Path(sys.executable).parent / "countermark"), *shlex.split(hook["entry"])[1:]]
    environ = {**os.environ, "COUNTERMARK_HOME": str(tmp_path / "home")}
    done = subprocess.run([*command, "made.png"], cwd=tmp_path, env=environ, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a staged picture, a staged drawing and a staged text."""
    pixels = np.tile(np.arange(96, dtype=np.uint8)[:, None, None], (1, 128, 3))
    write_image(tmp_path / "art" / "made.png", pixels)
    (tmp_path / "art" / "logo.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    (tmp_path / "notes.md").write_text("text")
    for words in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True, capture_output=True)
    return tmp_path


def environment(folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COUNTERMARK_HOME": str(folder.parent / "home"),
        "PRE_COMMIT_HOME": str(folder.parent / "pre-commit"),
    }


def test_pre_commit_runs_the_hooks_on_what_is_staged(repository: Path) -> None:
    """The hooks as they stand, but with the package that is installed here: nothing is fetched."""
    pytest.importorskip("pre_commit")
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    for hook in hooks:
        hook["language"] = "system"
        del hook["additional_dependencies"]
    config = {"repos": [{"repo": "local", "hooks": hooks}]}
    (repository / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config))

    def hook(name: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pre_commit", "run", name, "--color", "never"]
        return subprocess.run(
            command, cwd=repository, env=environment(repository), capture_output=True, text=True
        )

    done = hook("countermark-signed")
    assert done.returncode == 1 and "art/made.png" in done.stdout, done.stdout + done.stderr
    assert "logo.svg" not in done.stdout and "notes.md" not in done.stdout
    done = hook("countermark-scan")
    assert "Passed" in done.stdout or "art/made.png" in done.stdout, done.stdout + done.stderr


def test_the_gitlab_job_runs_in_a_repository(repository: Path) -> None:
    """The job's script, with the inputs' defaults put in as GitLab does; what installs is left out."""
    spec, jobs = yaml.safe_load_all((ROOT / "templates" / "countermark.yml").read_text())
    values = {name: str(each["default"]) for name, each in spec["spec"]["inputs"].items()}
    values |= {"paths": "art", "arguments": "--fail-on never --no-marks"}

    def filled(text: str) -> str:
        return re.sub(r"\$\[\[ inputs\.(\w+) \]\]", lambda match: values[match[1]], text)

    ((name, job),) = jobs.items()
    assert filled(name) == "countermark-scan"
    variables = {key: filled(value) for key, value in job["variables"].items()}
    script = "\n".join(filled(line) for line in job["script"])
    done = subprocess.run(
        [BASH, "-e", "-c", script],
        cwd=repository,
        env={**environment(repository), **variables},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads((repository / "countermark-reports" / "report.json").read_text())
    assert [row["path"] for row in document["results"]] == ["art/made.png"]
    assert document["settings"]["left_out"] == {"vector drawings": 1}
    assert all((repository / path).exists() for path in job["artifacts"]["paths"])
    assert (repository / job["artifacts"]["reports"]["junit"]).is_file()


def test_the_action_keeps_what_pip_fetches() -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    names = [step.get("name") for step in action["runs"]["steps"]]
    cache = action["runs"]["steps"][names.index("Cache")]
    assert names.index("Cache") < names.index("Install") and cache["uses"].startswith("actions/cache@")
    assert "inputs.cache" in cache["if"] and "python-version" in cache["with"]["key"]


def test_every_way_into_ci_takes_the_small_build_of_torch() -> None:
    """PyTorch's own index of CPU builds, asked before pip could fetch the build for CUDA."""
    index = "https://download.pytorch.org/whl/cpu"
    first = re.compile(
        rf"pip install [^\n]*torch torchvision --index-url {re.escape(index)}\b.*pip install", re.S
    )
    for name in ("Dockerfile", "action.yml", "templates/countermark.yml", "README.md"):
        assert first.search((ROOT / name).read_text("utf-8")), name
    for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text()):
        assert hook["additional_dependencies"] == [f"--extra-index-url={index}"]


def test_the_image_runs_without_rights() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert "USER countermark" in lines and lines.index("USER countermark") < lines.index(
        'ENTRYPOINT ["countermark"]'
    )
    assert sum(line.startswith("FROM ") for line in lines) == 2
