"""A corpus by number: as torchvision's folders are, with a loader of PyTorch, and for Hugging Face."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from countermark import CorpusDataset
from countermark.core.corpus import CorpusRow, write_metadata
from countermark.core.errors import CorpusError, ImageError
from countermark.core.images import write_image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = []
    for number in range(6):
        label = "synthetic" if number % 2 else "real"
        write_image(tmp_path / f"{number}.png", np.full((8, 10, 3), 20 * number, np.uint8))
        rows.append(CorpusRow(f"{number}.png", label, split="test" if number > 3 else "train"))
    write_metadata(tmp_path, rows)
    return tmp_path


def test_pictures_by_number(folder: Path) -> None:
    pictures = CorpusDataset(folder)
    assert len(pictures) == 6 and pictures.classes == ["real", "synthetic"]
    picture, label = pictures[3]
    assert picture.shape == (8, 10, 3) and picture[0, 0, 0] == 60 and label == 1
    assert pictures.targets == [0, 1] * 3 and pictures[-1][1] == 1 and len(pictures[1:3]) == 2
    with pytest.raises(IndexError):
        _ = pictures[6]
    assert [label for _, label in pictures] == pictures.targets


def test_splits_and_transforms(folder: Path) -> None:
    pictures = CorpusDataset(
        folder, split="test", transform=lambda p: p.mean(), target_transform=lambda t: -t
    )
    assert [pictures[n] for n in range(2)] == [(80.0, 0), (100.0, -1)]
    with pytest.raises(CorpusError):
        CorpusDataset(folder, split="other")
    (folder / "4.png").write_bytes(b"nothing")
    with pytest.raises(ImageError):
        _ = pictures[0]


def test_a_loader_takes_it(folder: Path) -> None:
    torch = pytest.importorskip("torch")
    loader = torch.utils.data.DataLoader(CorpusDataset(folder), batch_size=4)
    pictures, labels = next(iter(loader))
    assert tuple(pictures.shape) == (4, 8, 10, 3) and labels.tolist() == [0, 1, 0, 1]


def test_hugging_face_reads_the_folder(folder: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = datasets.load_dataset("imagefolder", data_dir=str(folder), split="train")
    assert set(rows.features) >= {"image", "label"} and len(rows) == 6


def test_transforms_and_folders_of_torchvision(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("torchvision")
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    shrink = v2.Compose([v2.ToImage(), v2.Resize((4, 5))])
    picture, label = CorpusDataset(folder, transform=shrink)[1]
    assert tuple(picture.shape) == (3, 4, 5) and label == 1
    for name in ("real", "synthetic"):
        write_image(tmp_path / "two" / name / "a.png", np.full((8, 10, 3), 60, np.uint8))
    theirs, ours = ImageFolder(str(tmp_path / "two")), CorpusDataset(tmp_path / "two")
    assert theirs.class_to_idx == ours.class_to_idx and theirs.targets == ours.targets
    assert np.array_equal(np.asarray(theirs[1][0]), ours[1][0])
