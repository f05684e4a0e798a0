"""Audits, scans and adversaries say what they take and give, and keep nothing in other objects."""

from __future__ import annotations

import ast
import logging
from pathlib import Path

import pytest

from countermark.app.audit import audit
from countermark.app.audit.checks.base import Check, Context, Measured
from countermark.app.audit.checks.detector import AtRate, Tpr
from countermark.app.audit.loading import parse_policy
from countermark.app.audit.schema import CheckEntry

ROOT = Path(__file__).resolve().parents[2] / "countermark" / "app"
MODULES = sorted(p for part in ("audit", "scan", "adversaries") for p in (ROOT / part).rglob("*.py"))
MODULES += [ROOT / "rooms.py"]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_argument_is_just_anything(path: Path) -> None:
    """``dict[str, Any]`` for JSON is allowed; ``Any`` by itself or in a union or callable is not."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            notes = [a.annotation for a in arguments] + [node.returns]
        elif isinstance(node, ast.AnnAssign):
            notes = [node.annotation]
        else:
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert node.attr != "__dict__" or node.value.id in ("cls", "self"), f"line {node.lineno}"
            continue
        for note in notes:
            text = ast.unparse(note) if note else ""
            for allowed in ("dict[str, Any]", "Mapping[str, Any]", "Check[Any]"):
                text = text.replace(allowed, "")
            assert "Any" not in text, f"line {node.lineno}: {ast.unparse(note) if note else ''}"


def test_a_checks_options_come_with_its_type() -> None:
    class Own(CheckEntry):
        more: int = 3

    class Base(Check[CheckEntry]):
        def measure(self, entry: CheckEntry, context: Context) -> Measured:
            return Measured()

    class Special(Check[Own]):
        def measure(self, entry: Own, context: Context) -> Measured:
            return Measured()

    assert Base.Options is CheckEntry and Special.Options is Own and Tpr.Options is AtRate


def test_what_checks_share_is_made_once() -> None:
    context, made = Context(None, None), []  # type: ignore[arg-type]

    def make() -> int:
        made.append(1)
        return len(made)

    assert [context.once("a", make), context.once("a", make), context.once(("b", 1), make)] == [1, 1, 2]


def test_the_package_logs_and_never_prints() -> None:
    """Only ``cli`` writes to a terminal; progress and warnings of library code go to its loggers."""
    top = ROOT.parents[1]
    rooms = [top / name for name in ("provenance", "detectors", "generators", "reports")]
    printed = []
    for folder in [ROOT, ROOT.parent / "core", *rooms]:
        for path in folder.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "sys.stderr.write"):
                    printed.append(f"{path}:{node.lineno}")
    assert not printed


def test_an_audit_tells_its_progress(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").write_bytes(b"no picture")
    policy = parse_policy(
        'schema = "countermark.policy/1"\nname = "p"\n[subject]\nkind = "pipeline"\n'
        '[evidence.out]\nfolder = "out"\n[[checks]]\nid = "pipeline.readable"\nevidence = "out"\n',
        root=tmp_path,
    )
    with caplog.at_level(logging.INFO, logger="countermark"):
        audit(policy)
    (line,) = [r.getMessage() for r in caplog.records if r.name == "countermark.app.audit.runner"]
    assert line.startswith("pipeline.readable: fail. 0 of 1 files.")
