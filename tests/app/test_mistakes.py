"""The same mistake gets the same kind of answer, wherever it is made: file, key, what is near."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from countermark.app.audit import explain, starter
from countermark.app.audit.loading import load_policy
from countermark.app.models import get_model, list_models
from countermark.app.scan.settings import scan_config
from countermark.app.scan.suppressions import read_ignore
from countermark.app.service.settings import Settings
from countermark.app.service.tokens import create_token, revoke_token
from countermark.app.train import train
from countermark.app.train_conditional import train_conditional
from countermark.core.errors import CountermarkError
from countermark.core.weights import read_card
from countermark.detectors import load_detector
from countermark.detectors.recipes.schema import read_recipe
from countermark.generators import load_generator
from countermark.generators.presets import load_preset, read_preset
from countermark.generators.recipes.schema import load_recipe
from countermark.provenance.identities.records import read_record

POLICY = starter("detector")
RECIPE = 'name = "x"\n'
IGNORE = '[[ignore]]\npath = "a"\nreason = "Long enough a reason."\nexpires = 2030-01-01\n'
CARD = '{"name": "x", "kind": "detector", "family": "probe"'

#: By what is read: the reader, text with a misspelt key, and the key that was meant.
FILES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "policy.toml": (load_policy, POLICY.replace("name =", 'subjet = "x"\nname =', 1), "subject"),
    "nested.toml": (load_policy, POLICY.replace("[subject]\n", '[subject]\nknd = "x"\n', 1), "kind"),
    "pyproject.toml": (
        lambda path: scan_config({}, project=path, environ={}),
        "[tool.countermark.scan]\nmax_fprr = 0.1\n",
        "max_fpr",
    ),
    "ignore.toml": (read_ignore, IGNORE + 'raeson = "x"\n', "reason"),
    "detector-recipe.toml": (read_recipe, RECIPE + "[draws]\nhrd = 1\n", "hard"),
    "generator-recipe.toml": (load_recipe, RECIPE + "[optimiser]\nbatchh = 1\n", "batch"),
    "preset.toml": (read_preset, RECIPE + 'summary = "x"\nrecipe = "x"\nsummry = "x"\n', "summary"),
    "x.card.json": (read_card, CARD + ', "licnce": "x"}', "licence"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_misspelt_key(name: str, tmp_path: Path) -> None:
    read, text, meant = FILES[name]
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(CountermarkError) as caught:
        read(path)
    error = caught.value
    assert str(path) in error.message and "unknown key" in error.message
    assert error.hint.startswith(f"Did you mean {meant!r}? Known: ")
    assert error.code in ("config.unknown-key", "weights.bad-card")
    assert_plain(error)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("text", ["= =", "[" * 3000, "\ud800", "[]", "5"])
def test_what_is_no_configuration_at_all(name: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(CountermarkError) as caught:
        FILES[name][0](path)
    assert str(path) in str(caught.value)
    assert_plain(caught.value)


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".toml")])
def test_a_file_that_is_not_there_or_too_large(name: str, tmp_path: Path) -> None:
    path, read = tmp_path / name, FILES[name][0]
    with pytest.raises(CountermarkError) as caught:
        read(path)
    assert str(path) in str(caught.value)
    path.write_bytes(b"#" * (5 * 1024 * 1024))
    with pytest.raises(CountermarkError, match="too large") as caught:
        read(path)
    assert caught.value.code == "config.too-large"


#: A misspelt name: what is asked for, and the name that was meant.
NAMES: dict[str, tuple[Callable[[str], object], str, str]] = {
    "check": (explain, "detector.auorc", "detector.auroc"),
    "starter": (starter, "detectr", "detector"),
    "model": (get_model, "defalt", "default"),
    "kind of model": (list_models, "detectr", "detector"),
    "detector": (load_detector, "defalt", "default"),
    "generator": (load_generator, "flowers-182", "flowers-128"),
    "detector recipe": (read_recipe, "defalt", "default"),
    "generator recipe": (load_recipe, "dcgan-46", "dcgan-64"),
    "preset": (load_preset, "txture", "texture"),
    "what to train": (lambda name: train(name, "x", out="x"), "generatr", "generator"),
    "what to train from images": (lambda n: train_conditional(n, "x", out="x"), "superrs", "superres"),
    "scope": (lambda name: Settings(public=frozenset([name])), "verfy", "verify"),
    "scope of a token": (lambda name: create_token("t", [name]), "verfy", "verify"),
    "page": (lambda name: Settings(page=name), "opn", "open"),  # type: ignore[arg-type]
    "bound": (lambda name: scan_config({"fail_on": name}, environ={}), "unsur", "unsure"),
}


@pytest.mark.parametrize("what", NAMES)
def test_a_misspelt_name(what: str) -> None:
    ask, wrong, meant = NAMES[what]
    with pytest.raises(CountermarkError) as caught:
        ask(wrong)
    assert repr(wrong) in caught.value.message
    assert re.search(rf"^Did you mean '{re.escape(meant)}'\? Known: .*{re.escape(meant)}", caught.value.hint)
    assert_plain(caught.value)


def test_a_misspelt_identity_and_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from countermark.provenance.identities.store import create_identity

    monkeypatch.setenv("COUNTERMARK_HOME", str(tmp_path))
    create_identity("newsroom")
    with pytest.raises(CountermarkError, match="Did you mean 'newsroom'"):
        read_record("newsrom")
    create_token("reader", ["verify"])
    with pytest.raises(CountermarkError, match="Did you mean 'reader'"):
        revoke_token("readr")


def test_a_network_that_cannot_be_built(tmp_path: Path) -> None:
    with pytest.raises(CountermarkError, match="Did you mean 'width'"):
        train_conditional("superres", tmp_path, out=tmp_path / "out", network={"widht": 8})
    assert not (tmp_path / "out").exists()


def assert_plain(error: CountermarkError) -> None:
    """No dump of a library's own words: no class of pydantic, no link, no traceback, one line each."""
    text = str(error)
    assert "pydantic" not in text and "http" not in text and "\n" not in text
    assert not re.search(r"validation error|type=|input_value|Input should|Traceback", text)
