"""The zoo as users meet it: one command, one corpus, every row tagged; bad requests are named."""

from __future__ import annotations

import json

import numpy as np
import pytest

from countermark.cli import run
from countermark.core.corpus import read_corpus
from countermark.core.images import write_image


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    root, draws = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for index in range(10):
        write_image(root / f"{index}.png", draws.integers(0, 256, (20, 24, 3)).astype(np.uint8))
    return root


def test_the_command_writes_a_tagged_corpus(photos, tmp_path, capsys):
    small = ["--species", "3", "--per-species", "2", "--size", "16", "--images", "32"]
    assert run(["zoo", str(photos), "--out", str(tmp_path / "zoo"), *small, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    corpus = read_corpus(tmp_path / "zoo")
    written = [row for row in said["species"] if row["images"]]
    assert said["images"] == len(corpus) == 2 * len(written) and written
    assert said["architectures"] == len({row.extra["architecture"] for row in corpus.rows})
    assert {row.generator for row in corpus.rows} == {row["name"] for row in written}
    assert run(["zoo", str(photos), "--out", str(tmp_path / "zoo"), *small]) == 2
    assert "already holds a corpus" in capsys.readouterr().err


def test_bad_requests_write_nothing(photos, tmp_path, capsys):
    assert run(["zoo", str(tmp_path / "gone"), "--out", str(tmp_path / "a"), "--size", "16"]) == 2
    assert run(["zoo", str(photos), "--out", str(tmp_path / "b"), "--size", "17"]) == 2
    assert run(["zoo", str(photos), "--out", str(tmp_path / "c"), "--species", "0"]) == 4
    assert not any((tmp_path / name).exists() for name in "abc")
    assert "size" in capsys.readouterr().err
