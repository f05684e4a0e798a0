"""What an extra brings is asked for where it is used, and missed in a sentence that names the extra."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from countermark.core.errors import MissingExtraError
from countermark.core.lite0 import load_lite0
from countermark.detectors.families.convolutional import BackboneDetector
from countermark.generators.gan.fitting import make_fabric
from countermark.generators.recipes.schema import load_recipe

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("countermark/core", "countermark/app", "countermark/cli")
ROOMS = ("provenance", "detectors", "generators", "reports")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def modules(lines: list[str]) -> set[str]:
    return {re.match(r"[\w-]+", line)[0].replace("-", "_") for line in lines}


def imported_with_the_module(node: ast.AST) -> Iterator[str]:
    """Top names of what a module imports when it is imported itself."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield (child.module or "").partition(".")[0]
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        elif not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from imported_with_the_module(child)


def test_only_the_service_needs_an_extra_to_be_imported() -> None:
    extras = {n for lines in PROJECT["optional-dependencies"].values() for n in modules(lines)}
    optional = extras - modules(PROJECT["dependencies"]) - {"countermark"}
    assert {"fastapi", "lightning_fabric", "onnx", "timm"} <= optional
    early = [
        f"{path.relative_to(ROOT)}: {name}"
        for folder in (*PRODUCT, *ROOMS)
        for path in (ROOT / folder).rglob("*.py")
        if not path.is_relative_to(ROOT / "countermark/app/service")
        for name in imported_with_the_module(ast.parse(path.read_text("utf-8")))
        if name in optional
    ]
    assert not early, early


@pytest.mark.parametrize(
    ("module", "extra", "use"),
    [
        ("lightning_fabric", "train", lambda: make_fabric(load_recipe("dcgan-64"))),
        ("timm", "train", lambda: BackboneDetector.create({}, seed=0)),
        ("timm", "quality", load_lite0),
    ],
)
def test_a_missing_package_names_its_extra(
    module: str, extra: str, use: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"countermark\[{extra}\]"):
        use()
    assert extra in PROJECT["optional-dependencies"]
