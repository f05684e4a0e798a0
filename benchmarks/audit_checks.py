"""Every check with the requirement it answers, its class and its tests, from the registry itself.

Run ``python -m benchmarks.audit_checks`` from the repository; it writes ``docs/audit-checks.md``.
"""

from __future__ import annotations

import ast
from pathlib import Path

from countermark.app.audit.checks import CHECKS

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "audit-checks.md"

#: What a policy for models should be able to name, and the checks that measure it.
NEEDS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("Detector", "AUROC", ("detector.auroc",)),
    ("Detector", "TPR at an FPR; at its own threshold", ("detector.tpr", "detector.recall")),
    ("Detector", "false positives at its own threshold", ("detector.fpr",)),
    ("Detector", "ECE, Brier score", ("detector.ece", "detector.brier")),
    ("Detector", "worst generator", ("detector.worst-generator",)),
    ("Detector", "worst real source", ("detector.worst-source",)),
    ("Detector", "held-out generator", ("detector.held-out-generator",)),
    (
        "Detector",
        "drops and flips under JPEG, resize, crop, blur, noise, screenshot",
        ("detector.drop", "detector.worst-delivery", "detector.flips"),
    ),
    ("Detector", "PGD; black-box attack", ("detector.pgd", "detector.square")),
    ("Detector", "learned laundering attack", ("detector.laundering",)),
    ("Detector", "abstention rate", ("detector.abstention",)),
    ("Detector", "leakage between splits by perceptual hash", ("detector.leakage",)),
    ("Detector", "evidence that gives itself away by packaging", ("evidence.packaging",)),
    ("Detector", "p95 latency; peak memory", ("detector.latency", "detector.memory")),
    ("Generator", "KID, FID", ("generator.kid", "generator.fid")),
    (
        "Generator",
        "precision, recall, density, coverage",
        ("generator.precision", "generator.recall", "generator.density", "generator.coverage"),
    ),
    (
        "Generator",
        "copying against held-out reals (C_T), authenticity",
        ("generator.c-t", "generator.authentic"),
    ),
    ("Generator", "near-duplicates of training images", ("generator.near-duplicates",)),
    (
        "Generator",
        "watermark recovery per attack at its stated FPR; that FPR",
        ("generator.mark-recovery", "generator.mark-fpr"),
    ),
    ("Generator", "credential coverage, source type, verification state", ("generator.signed",)),
    ("Pipeline", "every file can be read", ("pipeline.readable",)),
    ("Pipeline", "every file signed", ("pipeline.signed",)),
    ("Pipeline", "every file trusted", ("pipeline.trusted",)),
    ("Pipeline", "every file declared synthetic", ("pipeline.source-type",)),
    ("Pipeline", "every file time-stamped", ("pipeline.timestamped",)),
    ("Pipeline", "every file passes the conformance rubric", ("pipeline.conformant",)),
    ("Pipeline", "provider, system, version, time, identifier", ("pipeline.identified",)),
    ("Pipeline", "labels in every file's metadata", ("pipeline.labelled",)),
    ("Pipeline", "which marks survive an export", ("pipeline.kept",)),
    ("Pipeline", "every file marked", ("pipeline.marked",)),
    ("Pipeline", "every file recoverable after handling", ("pipeline.recoverable",)),
    ("Weights", "safetensors only, pickle refused and named", ("weights.format",)),
    ("Weights", "checksum", ("weights.checksum",)),
    ("Weights", "card complete", ("weights.card",)),
    ("Weights", "licence on an allow-list", ("weights.licence",)),
)


def tests_of(folder: Path = ROOT / "tests") -> dict[str, list[str]]:
    """By check: tests whose source names it, as ``file::function``; constants of their module count."""
    found: dict[str, list[str]] = {name: [] for name in CHECKS}
    for path in sorted(folder.rglob("test_*.py")):
        text = path.read_text("utf-8")
        if "audit" not in text:
            continue
        tree = ast.parse(text)
        constants = {
            target.id: ast.get_source_segment(text, node) or ""
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in tree.body:
            if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
                continue
            names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
            source = " ".join(
                [
                    ast.get_source_segment(text, node) or "",
                    *(ast.get_source_segment(text, decorator) or "" for decorator in node.decorator_list),
                    *(constants[n] for n in sorted(names & set(constants))),
                ]
            )
            words = set(
                source.replace('"', " ").replace("'", " ").replace("[", " ").replace("\\n", " ").split()
            )
            for check in CHECKS:
                if check in words:
                    found[check].append(f"{path.relative_to(folder).as_posix()}::{node.name}")
    return found


def page() -> str:
    """The page as Markdown."""
    tests = tests_of()
    lines = [
        "# The checks",
        "",
        "Made from the registry by `python -m benchmarks.audit_checks`; a test compares the two. "
        "`countermark audit explain CHECK` prints the formula, the source and the options of each.",
        "",
        "| Subject | What is asked | Check | Direction, unit | Class | A test |",
        "|---|---|---|---|---|---|",
    ]
    for subject, what, checks in NEEDS:
        for name in checks:
            check = CHECKS.get(name)
            home = f"{check.__module__.rsplit('.', 1)[-1]}.{check.__name__}"
            unit = " ".join(filter(None, (check.direction.replace("-", " "), check.unit)))
            first = tests[name][0].split("::")[1] if tests[name] else "none"
            lines.append(f"| {subject} | {what} | `{name}` | {unit} | `{home}` | `{first}` |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Writes the page."""
    PAGE.write_text(page(), "utf-8")


if __name__ == "__main__":
    main()
