"""Training data: mixed sizes, greyscale, corrupt files, archives, classes, held-out images."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
from PIL import Image

from countermark.core.errors import CorpusError
from countermark.core.images import write_image
from countermark.generators.data.pictures import DataConfig, load_pictures

ALL = DataConfig(holdout=0)


def test_mixed_sizes_become_squares(photos):
    pictures = load_pictures(photos, size=16, options=ALL)
    assert pictures.images.shape == (12, 16, 16, 3)
    assert pictures.labels is None and pictures.classes == ()


def test_folders_are_classes_when_asked(photos):
    pictures = load_pictures(photos, size=16, options=DataConfig(holdout=0, classes=True))
    assert pictures.classes == ("a", "b")
    assert sorted(pictures.labels) == [0] * 6 + [1] * 6


def test_classes_from_file_names(photos):
    options = DataConfig(holdout=0, class_pattern=r"^(\d)\.")
    assert load_pictures(photos, size=16, options=options).classes == (*"0123456789", "other")
    with pytest.raises(CorpusError, match="regular expression"):
        load_pictures(photos, size=16, options=DataConfig(class_pattern="("))


def test_corrupt_files_are_skipped_and_counted(photos):
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    (photos / "empty.png").write_bytes(b"")
    (photos / "notes.txt").write_text("not an image")
    pictures = load_pictures(photos, size=16, options=ALL)
    assert len(pictures) == 12
    assert {name for name, _ in pictures.skipped} == {"broken.jpg", "empty.png"}


def test_greyscale_and_colour_mix(photos):
    Image.fromarray(np.full((40, 40), 90, np.uint8)).save(photos / "grey.png")
    assert load_pictures(photos, size=16, options=ALL).images.shape == (13, 16, 16, 3)
    assert load_pictures(photos, size=16, channels=1, options=ALL).images.shape == (13, 16, 16, 1)


def test_one_image_is_a_named_error(tmp_path):
    write_image(tmp_path / "only.png", np.zeros((20, 20, 3), np.uint8))
    with pytest.raises(CorpusError) as caught:
        load_pictures(tmp_path, size=16, options=ALL)
    assert caught.value.code == "corpus.too-small"


@pytest.mark.parametrize("name", ["missing", "file.txt"])
def test_no_folder_is_a_named_error(tmp_path, name):
    (tmp_path / "file.txt").write_text("x")
    with pytest.raises(CorpusError) as caught:
        load_pictures(tmp_path / name, size=16)
    assert caught.value.code == "corpus.missing"


def test_empty_folder_is_a_named_error(tmp_path):
    with pytest.raises(CorpusError) as caught:
        load_pictures(tmp_path, size=16)
    assert caught.value.code == "corpus.empty"


def test_archive_equals_folder(photos, tmp_path):
    archive = tmp_path / "photos.zip"
    with zipfile.ZipFile(archive, "w") as stream:
        for path in sorted(photos.rglob("*.png")):
            stream.write(path, path.relative_to(photos).as_posix())
        stream.writestr("readme.txt", "not an image")
    from_zip = load_pictures(archive, size=16, options=DataConfig(classes=True))
    from_folder = load_pictures(photos, size=16, options=DataConfig(classes=True))
    assert np.array_equal(from_zip.images, from_folder.images)
    assert np.array_equal(from_zip.heldout, from_folder.heldout)


def test_damaged_archives(photos, tmp_path):
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(CorpusError, match="zip"):
        load_pictures(broken, size=16)
    archive = tmp_path / "flipped.zip"
    with zipfile.ZipFile(archive, "w") as stream:
        for path in sorted(photos.rglob("*.png")):
            stream.write(path, path.name)
    data = bytearray(archive.read_bytes())
    data[200] ^= 255  # inside the first member: its checksum no longer holds
    archive.write_bytes(bytes(data))
    pictures = load_pictures(archive, size=16, options=ALL)
    assert len(pictures) == 11 and len(pictures.skipped) == 1


def test_held_out_images_depend_on_names_and_seed_only(photos):
    options = DataConfig(holdout=0.4)
    first = load_pictures(photos, size=16, options=options, seed=1)
    assert len(first) + len(first.heldout) == 12
    assert 0 < len(first.heldout) < 12
    again = load_pictures(photos, size=16, options=options, seed=1)
    other = load_pictures(photos, size=16, options=options, seed=2)
    assert np.array_equal(first.heldout, again.heldout)
    assert not np.array_equal(first.heldout, other.heldout)


def test_random_crops_multiply_images(photos):
    options = DataConfig(crop="random", crops=3, crop_share=0.5, holdout=0)
    pictures = load_pictures(photos, size=16, options=options)
    assert len(pictures) == 36
    assert np.array_equal(pictures.images, load_pictures(photos, size=16, options=options).images)
    limited = load_pictures(photos, size=16, options=options.model_copy(update={"max_images": 6}))
    assert len(limited) == 6


def test_bundled_digits():
    pictures = load_pictures("digits", size=32, channels=1, options=DataConfig(classes=True))
    assert pictures.images.shape[1:] == (32, 32, 1)
    assert pictures.classes == tuple("0123456789")
    assert len(pictures) + len(pictures.heldout) == 1797
