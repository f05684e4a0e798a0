"""Every sentence, help text and page that names a command or an option is held against the command line."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from countermark.app.scan.settings import ENVIRONMENT, ScanConfig
from countermark.cli import app
from countermark.cli.manual import COMPLETE
from countermark.core.files import HOME_VARIABLE
from countermark.provenance.credentials.signing import TIMESTAMP_VARIABLE
from countermark.provenance.identities.store import PASSPHRASE_VARIABLE

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ("countermark/app", "countermark/cli", "countermark/core", "provenance", "detectors", "generators",
           "reports")  # fmt: skip
PAGES = sorted(
    path
    for path in [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("templates/*.yml"),
        *ROOT.glob("policies/*.toml"),
        ROOT / "action.yml",
        ROOT / ".pre-commit-hooks.yaml",
        ROOT / "Dockerfile",
    ]
    if path.is_file() and path.name != "CHANGELOG.md"
)
#: Sentences that name an option without its command: by module, the commands that may print them. Each
#: must have the option.
SPOKEN_BY: dict[str, tuple[str, ...]] = {
    "countermark/app/adversaries/run.py": ("evaluate adversaries",),
    "countermark/app/augment.py": ("augment",),
    "countermark/app/demo.py": ("demo",),
    "countermark/app/evaluate/leave_out.py": ("evaluate leave-out", "evaluate leave-out-recipe"),
    "countermark/app/service/server.py": ("serve",),
    "countermark/app/train.py": ("train detector",),
    "countermark/cli/augment.py": ("augment",),
    "countermark/app/scan/dataset.py": ("scan",),
    "countermark/app/scan/isolated.py": ("scan",),
    "countermark/app/scan/cluster.py": ("scan",),
    "countermark/app/scan/bulk.py": ("scan",),
    "countermark/cli/audit.py": ("audit run",),
    "countermark/app/scan/parts.py": ("scan",),
    "countermark/cli/calibrate.py": ("calibrate",),
    "countermark/cli/clips.py": ("scan",),
    "countermark/cli/generate.py": ("generate",),
    "countermark/cli/keys.py": ("keys import",),
    "countermark/cli/models.py": ("models show",),
    "countermark/cli/output.py": ("scan", "verify", "audit run", "evaluate detector", "evaluate generator"),
    "countermark/cli/scan.py": ("scan",),
    "countermark/cli/scan_rows.py": ("scan",),
    "countermark/cli/serve.py": ("serve",),
    "countermark/cli/sign.py": ("sign",),
    "countermark/cli/verify.py": ("verify",),
    "countermark/cli/train.py": ("train generator",),
    "generators/training/checkpoints.py": ("train generator", "train sketch2image", "train superres"),
    "countermark/cli/train_conditional.py": (
        "train sketch2image",
        "train superres",
        "train style",
        "train grow",
    ),
    "generators/augmentation/filling.py": ("train generator",),
    "generators/base.py": ("generate",),
    "generators/data/published.py": ("train generator",),
    "generators/families/painter.py": ("generate",),
    "generators/library.py": ("generate",),
    "generators/sketch/latent_training.py": ("train sketch-latent",),
    "generators/style/generator.py": ("generate",),
}
#: Where an option's own declaration stands, names of options are no sentences.
DECLARED = re.compile(r"(?:--?[a-z][a-z0-9-]*|/)+")


def commands() -> dict[str, Any]:
    """Every command and group by its words, without the program's name."""

    def walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        yield " ".join(words), command
        for name, inner in getattr(command, "commands", {}).items():
            yield from walk(inner, (*words, name))

    return dict(walk(typer.main.get_command(app), ()))


COMMANDS = commands()
#: ``audit POLICY`` stands for ``audit run POLICY``, and so on.
DEFAULTS = {"audit": "audit run", "models": "models show", "train": "train generator"}


def options_of(command: str) -> set[str]:
    found = {o for p in COMMANDS[command].params for o in (*p.opts, *p.secondary_opts) if o.startswith("-")}
    return found | {"--help"}


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """String literals of a module; what is filled into an f-string stands as X."""
    tree = ast.parse(path.read_text("utf-8"))
    inside = {
        id(v) for n in ast.walk(tree) if isinstance(n, ast.JoinedStr) for v in ast.walk(n) if v is not n
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [v.value if isinstance(v, ast.Constant) else "X" for v in node.values]
            yield node.lineno, "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.lineno, node.value


def problems(text: str) -> Iterator[str]:
    """What is wrong with the commands that a text names."""
    for match in re.finditer(
        r"(?<![\w./:-])countermark ([a-z][a-z0-9-]*(?:[ \n][a-z][a-z0-9-]*(?![\w.*/…]))*)", text
    ):
        words = match[1].split()
        known = max((n for n in range(len(words) + 1) if " ".join(words[:n]) in COMMANDS), default=0)
        name = " ".join(words[:known])
        if not known:
            if words[0] != "as":  # import countermark as cm
                yield f"no command {words[0]!r}"
            continue
        if known < len(words) and hasattr(COMMANDS[name], "commands") and name not in DEFAULTS:
            yield f"{name!r} has no command {words[known]!r}"
            continue
        rest = re.split(r"[`|;&#\n]|\. |, (?!-)|\) ", text[match.end() :])[0]
        known_options = options_of(name) | (options_of(DEFAULTS[name]) if name in DEFAULTS else set())
        for option in re.findall(r"(?<![\w-])--?[a-z][a-z0-9-]*", " " + rest):
            if option not in known_options:
                yield f"{name!r} has no option {option}"


def modules() -> list[Path]:
    return sorted(path for folder in PACKAGE for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_sentences_name_what_there_is(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    wrong = []
    for line, text in texts(path):
        wrong += [f"{name}:{line}: {problem}: {text[:90]!r}" for problem in problems(text)]
        text = re.sub(r"git [^),;.]*", "", text)
        if "countermark " in text or DECLARED.fullmatch(text) or " --" not in f" {text}" or "\n" in text:
            continue
        for option in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", text):
            speakers = SPOKEN_BY.get(name)
            if speakers is None:
                wrong.append(f"{name}:{line}: say which commands print this, in SPOKEN_BY: {text[:90]!r}")
                continue
            lacking = [command for command in speakers if option not in options_of(command)]
            wrong += [f"{name}:{line}: {command!r} has no {option}: {text[:90]!r}" for command in lacking]
    assert not wrong, "\n".join(wrong)


def test_help_texts_name_what_there_is() -> None:
    wrong = []
    for name, command in COMMANDS.items():
        helps = [command.help or "", *(getattr(p, "help", None) or "" for p in command.params)]
        for text in helps:
            wrong += [f"{name}: {problem}" for problem in problems(text)]
            for option in re.findall(
                r"(?<![\w-])--[a-z][a-z0-9-]*", re.sub(r"(countermark|git) [^.,;)]*", "", text)
            ):
                inner = [c for c in COMMANDS if c == name or c.startswith(f"{name} ")]
                if not any(option in options_of(c) for c in inner):
                    wrong.append(f"{name}: no {option}: {text!r}")
    assert not wrong, "\n".join(wrong)


def test_variables_of_the_environment_are_read() -> None:
    declared = {p.envvar for command in COMMANDS.values() for p in command.params if p.envvar}
    known = {HOME_VARIABLE, PASSPHRASE_VARIABLE, TIMESTAMP_VARIABLE, COMPLETE.removeprefix("_"), *declared}
    known |= {f"{ENVIRONMENT}{name.upper()}" for name in ScanConfig.model_fields}
    wrong = []
    for path in [*modules(), *(page for page in PAGES if page.suffix == ".md")]:
        for name in re.findall(r"COUNTERMARK_[A-Z_]*[A-Z]", path.read_text("utf-8")):
            if name not in known:
                wrong.append(f"{path.relative_to(ROOT)}: nothing reads {name}")
    assert not wrong, "\n".join(wrong)


def test_every_speaker_is_a_command() -> None:
    for name, speakers in SPOKEN_BY.items():
        assert (ROOT / name).is_file() and set(speakers) <= set(COMMANDS)


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.name)
def test_pages_name_what_there_is(path: Path) -> None:
    text = path.read_text("utf-8").replace("\\\n", " ")
    wrong = []
    for number, line in enumerate(text.splitlines(), 1):
        code = re.findall(r"`([^`]*)`", line) or ([] if line.startswith("|") else [line])
        wrong += [f"{path.name}:{number}: {p}" for part in code for p in problems(part)]
    assert not wrong, "\n".join(wrong)


def shown(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Commands in the fenced blocks of a page, as they would be typed."""
    fenced = False
    for number, line in enumerate(path.read_text("utf-8").replace("\\\n", " ").splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        match = re.match(r"\s*(?:\$ )?countermark (.*)", line) if fenced else None
        if match and "…" not in match[1] and "..." not in match[1]:
            yield number, shlex.split(re.split(r"[|>;&]", match[1])[0], comments=True)


@pytest.mark.parametrize("path", [p for p in PAGES if p.suffix == ".md"], ids=lambda p: p.name)
def test_commands_on_pages_can_be_typed(path: Path) -> None:
    """Known options, and everything that is required."""
    wrong = []
    for number, words in shown(path):
        known = max(n for n in range(len(words) + 1) if " ".join(words[:n]) in COMMANDS)
        name = " ".join(words[:known])
        name, rest = DEFAULTS.get(name, name), words[known:]
        command = COMMANDS[name]
        if hasattr(command, "commands") or not set(rest).isdisjoint(("--help", "--version")):
            continue
        try:
            given, left, _ = command.make_parser(command.context_class(command)).parse_args(list(rest))
        except Exception as error:  # click's, whose home differs by version of typer
            wrong.append(f"{path.name}:{number}: {' '.join(words)}: {getattr(error, 'message', error)}")
            continue
        missing = [p.name for p in command.params if p.required and given.get(p.name) in (None, ())]
        if missing or left:
            wrong.append(f"{path.name}:{number}: {' '.join(words)}: missing {missing}, too much {left}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Try countermark scna here.", "no command 'scna'"),
        ("Ask with: countermark keys csr NAME", "'keys' has no command 'csr'"),
        ("Use `countermark redact a.png --passphrase-file x`.", "'redact' has no option --passphrase-file"),
        ("countermark audit policy.toml --output html=a.html --outptu b", "no option --outptu"),
        ("countermark keys rotate NAME", ""),
        ("countermark scan a.jpg, then --sort it.", ""),
    ],
)
def test_the_search_itself(text: str, says: str) -> None:
    found = list(problems(text))
    assert (says in found[0]) if says else not found
