"""Faces put into drawn portraits: what is replaced, what keeps its pixels, whole sources apart."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from face_training.blending import KINDS, Portrait, blend, delivered, face_mask, retouched
from face_training.fit import fit_head
from face_training.portraits import CALIBRATION, TEST, Row, cut_out, gather, read_rows
from face_training.samples import Sample, read_samples, samples, write_samples
from face_training.train import SIDE, face_logits, window
from face_training.video import as_frame
from region_training.pairs import part_of

from countermark.core.corpus import CorpusRow, write_metadata
from countermark.core.images import Pixels, write_image
from countermark.core.seeds import rng
from countermark.core.stats import auroc
from countermark.detectors.faces.blocks import inside_and_around
from countermark.detectors.faces.find import find_faces


def drawn_face(side: int, skin: tuple[int, int, int] = (224, 182, 156), seed: int = 0) -> Pixels:
    """A drawn face with grain, as a photograph has it."""
    scale = side * 2
    picture = np.full((scale, scale, 3), (150, 170, 190), np.uint8)
    dark = tuple(int(c * 0.93) for c in skin)
    for x, y, wide, high, colour in (
        (0.5, 1.0, 0.38, 0.25, (60, 70, 110)), (0.5, 0.75, 0.1, 0.15, dark),
        (0.5, 0.42, 0.25, 0.32, (60, 40, 30)), (0.5, 0.48, 0.21, 0.28, skin),
        (0.41, 0.44, 0.045, 0.02, (245, 245, 245)), (0.59, 0.44, 0.045, 0.02, (245, 245, 245)),
        (0.41, 0.44, 0.02, 0.02, (60, 40, 30)), (0.59, 0.44, 0.02, 0.02, (60, 40, 30)),
        (0.41, 0.395, 0.05, 0.012, (70, 45, 35)), (0.59, 0.395, 0.05, 0.012, (70, 45, 35)),
        (0.5, 0.54, 0.025, 0.015, (190, 140, 120)), (0.5, 0.64, 0.07, 0.02, (180, 80, 80)),
    ):  # fmt: skip
        middle, axes = (int(x * scale), int(y * scale)), (int(wide * scale), int(high * scale))
        cv2.ellipse(picture, middle, axes, 0, 0, 360, colour, -1, cv2.LINE_AA)
    small = cv2.resize(
        cv2.GaussianBlur(picture, (0, 0), 0.012 * side), (side, side), interpolation=cv2.INTER_AREA
    )
    grain = rng(seed, "grain").normal(0, 3, small.shape)
    return np.clip(small + grain, 0, 255).astype(np.uint8)


def portrait(side: int = 256, skin: tuple[int, int, int] = (224, 182, 156)) -> Portrait:
    pixels = drawn_face(side, skin)
    (face,) = find_faces(pixels)
    return Portrait(pixels, face)


@pytest.mark.parametrize("kind", KINDS)
def test_the_face_changes_and_its_surroundings_keep_their_pixels(kind: str) -> None:
    one, other = portrait(), portrait(200, (150, 105, 85))
    changed = []
    for seed in range(8):
        copy = lambda pixels, generator: cv2.blur(pixels, (5, 5))  # noqa: E731
        pixels, mask, made = blend(one, [other], rng(seed, "blend"), copy, kind)
        assert pixels.shape == one.pixels.shape and pixels.dtype == np.uint8 and made == kind
        assert mask.shape == pixels.shape[:2] and mask.min() >= 0 and mask.max() <= 1
        gap = np.abs(pixels.astype(int) - one.pixels).max(axis=2)
        assert (gap[:, :8] == 0).mean() > 0.99 and (gap[:4] == 0).mean() > 0.99
        changed.append((gap[100:170, 90:166] > 0).mean())
    assert np.mean(changed) > 0.3


def test_the_same_seed_gives_the_same_face() -> None:
    one, other = portrait(), portrait(200)
    first, second = (blend(one, [other], rng(3, "blend"), kind="self")[0] for _ in range(2))
    assert np.array_equal(first, second)


def test_masks_lie_on_the_face_and_are_soft_or_hard() -> None:
    one = portrait()
    x, y, wide, high = one.face.box
    for seed in range(30):
        mask = face_mask(one.face, one.pixels.shape[:2], rng(seed, "mask"))
        assert mask.dtype == np.float32 and mask.min() >= 0 and mask.max() <= 1 and mask.max() > 0.5
        rows, columns = np.nonzero(mask > 0.5)
        assert x - wide < columns.min() and columns.max() < x + 2 * wide
        assert y - high < rows.min() and rows.max() < y + 2 * high


def test_retouching_and_delivery_are_no_swaps_and_keep_their_type() -> None:
    one = portrait()
    for seed in range(6):
        touched = retouched(one, rng(seed, "retouch"))
        assert touched.shape == one.pixels.shape and touched.dtype == np.uint8
        sent = delivered(touched, rng(seed, "sent"))
        assert sent.dtype == np.uint8 and sent.ndim == 3 and min(sent.shape[:2]) > 40


def test_sources_are_apart() -> None:
    assert not CALIBRATION & TEST
    row = Row("a.png", next(iter(TEST)), "p", (0, 0, 1, 1), 0.9, ())
    assert row.part == "test" and Row("a.png", "new", "p", (0, 0, 1, 1), 0.9, ()).part == "train"


def test_from_a_corpus_to_samples(tmp_path: Path) -> None:
    rows = []
    for number, source in enumerate(
        ["one", "one", "two", *sorted(TEST)[:1] * 2, *sorted(CALIBRATION)[:1] * 2]
    ):
        picture = np.full((420, 640, 3), 110, np.uint8)
        picture[60:360, 150:450] = drawn_face(300, (224 - 9 * number, 180, 150), number)
        name = f"real/{source}/{number}.png"
        write_image(tmp_path / "corpus" / name, picture)
        rows.append(CorpusRow(name, "real", "", source, sha256=f"{number:064d}"))
    write_metadata(tmp_path / "corpus", rows)
    folder = tmp_path / "portraits"
    gather(tmp_path / "corpus", folder)
    gather(tmp_path / "corpus", folder)  # goes on where it stopped: nothing twice
    found = read_rows(folder)
    assert len(found) == 7 and {row.part for row in found} == {"train", "test", "calibrate"}
    again = found[0].load(folder)
    (face,) = find_faces(again.pixels)
    assert np.allclose(face.box, again.face.box, atol=12)
    for part, kinds in (("train", {"real"}), ("test", {"real", "retouched"})):
        write_samples(
            samples(folder, lambda pixels, generator: pixels, part, rounds=1, seed=1), tmp_path, part
        )
        made = list(read_samples(tmp_path, part))
        assert kinds <= {each.kind for each in made}
        assert {each.source in TEST for each in made} == {part == "test"}
        assert sum(each.mask is not None for each in made) == sum(row.part == part for row in found)
        for each in made:
            assert each.mask is None or each.mask.shape == each.pixels.shape[:2]
            assert 0 < each.face.box[0] < each.pixels.shape[1]


def test_frames_of_a_clip_keep_their_size() -> None:
    pixels = drawn_face(120)
    frame = as_frame(pixels, 30)
    assert frame.shape == pixels.shape and 0 < np.abs(frame.astype(int) - pixels).mean() < 12


def test_windows_hold_the_face_and_face_logits_tell_inside_from_around() -> None:
    one = portrait(400)
    sample = Sample(one.pixels, one.face, None, "one", "real")
    for seed in range(10):
        pixels, share, face = window(sample, rng(seed, "window"))
        assert pixels.shape == (SIDE, SIDE, 3) and share.shape == (SIDE, SIDE)
        middle = face.box[0] + face.box[2] / 2
        assert 0 < middle < SIDE
    inside, around = inside_and_around(face, (SIDE // 8, SIDE // 8))
    logits = torch.from_numpy(np.where(inside, 2.0, np.where(around, -1.0, 0.0)).astype(np.float32))[None]
    assert face_logits(logits, [face]).tolist() == pytest.approx([3.0])


def test_a_head_is_written_out_as_it_was_fitted() -> None:
    generator = rng(3, "fit")
    labels = np.arange(200) % 2
    features = generator.normal(5, 2, (200, 6)).astype(np.float32)
    features[:, 2] += 3 * labels
    head = fit_head(features, labels, np.array(["a", "b"])[np.arange(200) // 100])
    logits = head.logits(features)
    assert auroc(labels, logits) > 0.85 and abs(logits.mean()) < 0.5


def test_what_is_cut_out_lies_within_the_picture() -> None:
    picture = np.full((300, 300, 3), 110, np.uint8)
    picture[:256, :256] = drawn_face(256)
    (face,) = find_faces(picture)
    cut = cut_out(picture, face)
    assert cut.pixels.shape[0] <= 300 and cut.pixels.shape[1] <= 300
    assert 0 <= cut.face.landmarks[0][0] < cut.pixels.shape[1]


def test_no_source_of_the_figures_has_taught_the_region_network() -> None:
    assert "train" not in {part_of(source) for source in TEST}
