"""The list of what the weights have learnt from, and laying it out from clones."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from countermark.core.corpus import read_corpus
from countermark.core.errors import CorpusError
from countermark.core.images import encode_image
from countermark.detectors.recipes.corpora import (
    COLUMNS,
    LIST,
    NEAR,
    Listed,
    difference_hash,
    is_excluded,
    lay_out,
    makers,
    prefix,
    read_excluded,
    read_list,
    write_list,
)


def picture(seed: int) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    return np.kron(small, np.ones((20, 20, 1), np.uint8)).astype(np.uint8)


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.fixture
def mirrors(tmp_path: Path) -> tuple[Path, list[Listed]]:
    """A bare clone of two pictures, one of them saved twice in different formats, and a text file."""
    work = tmp_path / "work"
    work.mkdir()
    (work / "a.png").write_bytes(encode_image(picture(1), "png"))
    (work / "again.jpg").write_bytes(encode_image(picture(1), "jpeg", quality=80))
    (work / "b.png").write_bytes(encode_image(picture(2), "png"))
    (work / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    git(work, "init", "-q")
    git(work, "add", ".")
    git(work, "commit", "-qm", "pictures")
    rows = [
        Listed("synthetic", "portrait", "some-source", "model-1", "Owner/Pictures", blob, kind, "2024")
        for name, kind in (("a.png", "PNG"), ("again.jpg", "JPEG"), ("b.png", "PNG"), ("broken.png", "PNG"))
        for blob in [git(work, "rev-parse", f"HEAD:{name}")]
    ]
    git(tmp_path, "clone", "-q", "--mirror", str(work), str(tmp_path / "mirrors" / "Owner+Pictures"))
    return tmp_path / "mirrors", rows


def test_pictures_are_laid_out_once_and_everything_else_is_counted(
    mirrors: tuple[Path, list[Listed]], tmp_path: Path
) -> None:
    folder, rows = mirrors
    absent = replace(rows[0], blob="0" * 40)
    elsewhere = replace(rows[0], repo="owner/elsewhere")
    report = lay_out([*rows, absent, elsewhere], folder, tmp_path / "out")
    assert report.laid == {"synthetic: some-source": 2}
    assert (report.duplicates, report.damaged, report.refused) == (1, 1, 0)
    assert report.missing == {"Owner/Pictures": 1, "owner/elsewhere": 1}
    corpus = read_corpus(tmp_path / "out")
    assert [row.generator for row in corpus.rows] == ["model-1"] * 2
    assert all(path.is_file() for path in corpus.paths) and corpus.rows[0].extra["kind"] == "portrait"
    again = lay_out(rows, folder, tmp_path / "out")
    assert again.laid == report.laid


def test_what_is_excluded_is_refused_by_repository_and_by_blob(
    mirrors: tuple[Path, list[Listed]], tmp_path: Path
) -> None:
    folder, rows = mirrors
    listed = tmp_path / "excluded.txt"
    listed.write_text(f"# never\nblob {prefix(rows[0].blob)}\n")
    report = lay_out(rows, folder, tmp_path / "out", excluded=read_excluded(listed))
    assert report.refused == 1 and not (tmp_path / "out" / rows[0].file_name).exists()
    listed.write_text(f"repo {prefix('OWNER/pictures')}\n")
    assert all(is_excluded(row, read_excluded(listed)) for row in rows)
    with pytest.raises(CorpusError):
        listed.write_text("owner/pictures\n")
        read_excluded(listed)


def test_a_list_is_read_as_it_was_written(mirrors: tuple[Path, list[Listed]], tmp_path: Path) -> None:
    _, rows = mirrors
    write_list(rows, tmp_path / "list.tsv")
    assert set(read_list(tmp_path / "list.tsv")) == set(rows)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("label", "maybe"),
        ("source", "../up"),
        ("repo", "--upload-pack=x"),
        ("repo", "a/b/c"),
        ("blob", "HEAD"),
        ("format", "SVG"),
    ],
)
def test_rows_that_name_no_picture_are_refused(
    mirrors: tuple[Path, list[Listed]], tmp_path: Path, column: str, value: str
) -> None:
    row = replace(mirrors[1][0], **{column: value})
    text = "\t".join(COLUMNS) + "\n" + "\t".join(getattr(row, name) for name in COLUMNS) + "\n"
    (tmp_path / "list.tsv").write_text(text)
    with pytest.raises(CorpusError, match="line 2"):
        read_list(tmp_path / "list.tsv")


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from("uvwxyz")), min_size=1), st.randoms())
def test_sources_that_share_an_owner_are_one_maker(pairs: list[tuple[str, str]], order: Random) -> None:
    """Against connected components by repeated joining; the order of the rows changes nothing."""
    rows = [Listed("real", "", s, "", f"{o}/r", "0" * 40, "PNG", "") for s, o in pairs]
    groups = [{s} for s, _ in pairs]
    for owner in {o for _, o in pairs}:
        own = {s for s, o in pairs if o == owner}
        joined = own.union(*(g for g in groups if g & own))
        groups = [g for g in groups if not g & joined] + [joined]
    expected = {("real", s): min(g) for g in groups for s in g if len(g) > 1}
    assert makers(rows) == expected
    order.shuffle(rows)
    assert makers(rows) == expected


@given(st.integers(0, 2**32))
def test_other_pictures_are_told_apart(seed: int) -> None:
    one, other = difference_hash(picture(seed)), difference_hash(picture(seed + 1))
    assert one.dtype == np.uint64 and one.shape == (4,)
    assert int(np.bitwise_count(one ^ other).sum()) > NEAR


def test_the_shipped_list_is_well_formed_and_names_every_picture_once() -> None:
    rows = read_list(LIST)
    assert len({row.blob for row in rows}) == len(rows)
    assert {row.label for row in rows} == {"real", "synthetic"}
    assert all(row.generator for row in rows if row.label == "synthetic")
