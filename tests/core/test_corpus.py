"""Labelled corpora: reading what others wrote, refusing what leaves the folder."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from countermark.core.corpus import CorpusRow, read_corpus, write_metadata
from countermark.core.errors import CorpusError, OutputError
from countermark.core.images import write_image

PIXELS = np.zeros((8, 8, 3), np.uint8)


def test_what_is_written_is_read(tmp_path) -> None:
    rows = [
        CorpusRow("a.png", "synthetic", "gan, new", "me", "train", "7", "ff" * 32, {"family": "dcgan"}),
        CorpusRow("b/c.png", "real", source='quo"ted'),
    ]
    write_metadata(tmp_path, rows)
    corpus = read_corpus(tmp_path)
    assert corpus.rows[0] == rows[0]
    assert corpus.rows[1].source == 'quo"ted' and not corpus.rows[1].is_synthetic
    assert len(corpus.select(label="real")) == 1 and len(corpus.select(split="train")) == 1
    assert corpus.paths[1] == tmp_path / "b" / "c.png"
    with pytest.raises(OutputError):
        write_metadata(tmp_path, rows)


def test_folders_called_real_and_synthetic_are_enough(tmp_path) -> None:
    write_image(tmp_path / "real" / "one.png", PIXELS)
    write_image(tmp_path / "synthetic" / "gan" / "two.png", PIXELS)
    rows = {row.file_name: row for row in read_corpus(tmp_path).rows}
    assert rows["real/one.png"].label == "real"
    assert rows["synthetic/gan/two.png"].generator == "gan"


@pytest.mark.parametrize("name", ["../out.png", "/etc/passwd", "C:\\x.png", "a/../../b.png", "", "x\0y"])
def test_paths_that_leave_the_folder_are_refused(tmp_path, name: str) -> None:
    text = f'file_name,label\n"{name}",real\n'
    (tmp_path / "metadata.csv").write_text(text)
    with pytest.raises(CorpusError):
        read_corpus(tmp_path)


@pytest.mark.parametrize(
    "text", ["file_name,label\na.png,maybe\n", "file_name,label\n", "nonsense", "\xff\xfe"]
)
def test_unusable_tables_are_named(tmp_path, text: str) -> None:
    (tmp_path / "metadata.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(CorpusError):
        read_corpus(tmp_path)


def test_other_peoples_labels_are_understood(tmp_path) -> None:
    (tmp_path / "metadata.csv").write_text("file_name,label\na.png,fake\nb.png,photo\n")
    assert [row.label for row in read_corpus(tmp_path).rows] == ["synthetic", "real"]


def test_no_folder_and_no_labels(tmp_path) -> None:
    for folder, code in ((tmp_path / "none", "corpus.missing"), (tmp_path, "corpus.empty")):
        with pytest.raises(CorpusError) as caught:
            read_corpus(folder)
        assert caught.value.code == code


@given(st.text(max_size=200))
def test_any_text_gives_rows_or_a_typed_error(tmp_path_factory, text: str) -> None:
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "metadata.csv").write_text("file_name,label\n" + text, encoding="utf-8", errors="ignore")
    with contextlib.suppress(CorpusError):
        assert len(read_corpus(folder)) > 0
