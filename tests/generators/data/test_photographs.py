"""Folders of large pictures: what is held out, shrunk, skipped and refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from countermark.core.errors import CorpusError
from countermark.core.images import write_image
from countermark.generators.data import photographs
from countermark.generators.data.photographs import is_held_out, read_photographs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Forty pictures of mixed sizes, each of one grey; one that is too small, one that is broken."""
    for index in range(40):
        shape = (40 + index % 3 * 10, 60, 3)
        write_image(tmp_path / "photos" / f"{index:02d}.png", np.full(shape, index, np.uint8))
    write_image(tmp_path / "photos" / "small.png", np.zeros((30, 90, 3), np.uint8))
    (tmp_path / "photos" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n no")
    return tmp_path / "photos"


def greys(pictures: list[np.ndarray]) -> set[int]:
    return {int(p[0, 0, 0]) for p in pictures}


def test_a_share_is_held_out_by_path_and_what_cannot_be_used_is_counted(folder: Path) -> None:
    found = read_photographs(folder, least=40, holdout=0.3)
    assert found.skipped == 2 and greys(found.train) | greys(found.heldout) == set(range(40))
    wanted = {i for i in range(40) if is_held_out(Path(f"{i:02d}.png"), holdout=0.3)}
    assert greys(found.heldout) == wanted and 4 <= len(wanted) <= 20
    for name in ("00.png", "01.png", "02.png"):
        (folder / name).unlink()
    fewer = read_photographs(folder, least=40, holdout=0.3)
    assert greys(fewer.heldout) == wanted - {0, 1, 2}
    unread = read_photographs(folder, least=40, holdout=0.3, read_heldout=False)
    assert greys(unread.train) == greys(fewer.train) and not unread.heldout


def test_pictures_keep_their_sizes_or_are_shrunk_and_never_enlarged(folder: Path) -> None:
    assert {p.shape[:2] for p in read_photographs(folder, least=40).train} == {(40, 60), (50, 60), (60, 60)}
    shrunk = read_photographs(folder, least=40, shrink_to=50).train
    assert {p.shape[:2] for p in shrunk} == {(40, 60), (50, 60), (50, 50)}


def test_reading_is_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(read_photographs(folder, least=40, limit=5).train) == 5
    monkeypatch.setattr(photographs, "MAX_BYTES", 4 * 40 * 60 * 3)
    assert 2 <= len(read_photographs(folder, least=40).train) <= 5


def test_folders_that_cannot_be_used_are_named(folder: Path) -> None:
    with pytest.raises(CorpusError, match="not a folder") as missing:
        read_photographs(folder / "none", least=40)
    assert missing.value.code == "corpus.missing" and missing.value.hint
    with pytest.raises(CorpusError, match="61 pixels") as few:
        read_photographs(folder, least=61)
    assert few.value.code == "corpus.too-small" and "42 were" in few.value.hint
