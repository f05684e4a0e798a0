"""One mark in many frames: stronger together than alone, and never where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from countermark.provenance.watermark.frames import FrameMarker
from countermark.provenance.watermark.pooling import WINDOW, FramePool
from countermark.provenance.watermark.records import WatermarkError

PAYLOAD = b"8 bytes!"


def scene(count: int, seed: int = 0, size: tuple[int, int] = (320, 240)) -> list[np.ndarray]:
    """Frames of noise that moves."""
    width, height = size
    ground = np.random.default_rng(seed).integers(50, 200, (height, width + 3 * count, 3)).astype(np.uint8)
    return [ground[:, 3 * n : 3 * n + width] for n in range(count)]


def noisy(frame: np.ndarray, amount: float, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (frame + random.normal(0, amount, frame.shape)).clip(0, 255).astype(np.uint8)


def pooled(frames: list[np.ndarray], **options: float):
    pool = FramePool()
    for number, frame in enumerate(frames):
        pool.add(frame, float(number))
    return pool.finish(**options)


@pytest.fixture(scope="module")
def marked() -> list[np.ndarray]:
    marker = FrameMarker(PAYLOAD)
    return [marker.mark(frame) for frame in scene(2 * WINDOW)]


def test_a_marked_frame_looks_like_the_one_before(marked: list[np.ndarray]) -> None:
    for before, after in zip(scene(2 * WINDOW), marked, strict=True):
        error = np.mean((before.astype(float) - after) ** 2)
        assert 38 < 10 * np.log10(255**2 / error) < 50


def test_a_mark_is_read_with_its_place_and_chance(marked: list[np.ndarray]) -> None:
    found = pooled(marked)
    assert found and found.reading.payload == PAYLOAD and found.reading.p_value <= 1e-9
    assert found.frames == found.alone == 2 * WINDOW
    assert [(s.start, s.end) for s in found.spans] == [(0.0, 2 * WINDOW - 1.0)]


def test_frames_that_show_nothing_alone_show_it_together(marked: list[np.ndarray]) -> None:
    worn = [noisy(frame, 80, number) for number, frame in enumerate(marked)]
    found = pooled(worn)
    assert found.reading.payload == PAYLOAD and found.reading.p_value <= 1e-9 and found.alone == 0


@pytest.mark.parametrize("turn", [lambda f: f[:, ::-1], lambda f: np.rot90(f), lambda f: f[::-1, ::-1]])
def test_turned_and_mirrored_clips_are_read(marked: list[np.ndarray], turn) -> None:
    found = pooled([np.ascontiguousarray(turn(frame)) for frame in marked[:WINDOW]])
    assert found.reading.payload == PAYLOAD


def test_only_the_marked_stretch_is_named(marked: list[np.ndarray]) -> None:
    found = pooled([*scene(WINDOW, seed=3), *marked[:WINDOW], *scene(WINDOW, seed=4)])
    assert found.reading.payload == PAYLOAD
    assert [(s.start, s.end) for s in found.spans] == [(WINDOW, 2 * WINDOW - 1)]


def test_two_payloads_are_two_stretches(marked: list[np.ndarray]) -> None:
    other = FrameMarker(b"another!")
    found = pooled([*marked[:WINDOW], *(other.mark(frame) for frame in scene(WINDOW, seed=5))])
    assert [s.payload for s in found.spans] == [PAYLOAD, b"another!"]


def test_a_scaled_and_cropped_clip_is_found_by_the_search(marked: list[np.ndarray]) -> None:
    marker = FrameMarker(PAYLOAD)
    large = [marker.mark(frame)[60:520, 80:700] for frame in scene(3, size=(760, 560))]
    assert pooled(large).reading.payload is None
    found = pooled(large, search_seconds=60.0)
    assert found.reading.payload == PAYLOAD and found.reading.p_value <= 1e-9


def test_unmarked_clips_give_nothing_and_fair_chances() -> None:
    chances = []
    for seed in range(14):
        frames = scene(9, seed=100 + seed, size=(160, 128))
        found = pooled(frames)
        assert found.reading.payload is None and not found.spans
        chances.append(found.reading.p_value)
    assert 0.15 < np.mean(chances) < 0.85 and min(chances) > 1e-4


def test_every_attempt_counts(marked: list[np.ndarray]) -> None:
    pool = FramePool()
    for number, frame in enumerate(scene(3 * WINDOW, seed=9)):
        pool.add(frame, number)
    assert pool.finish().reading.attempts >= 4, "three windows and the whole"


def test_what_cannot_carry_a_mark_says_so() -> None:
    with pytest.raises(WatermarkError):
        FrameMarker(b"short")
    with pytest.raises(WatermarkError):
        FrameMarker(PAYLOAD, strength=9)
    with pytest.raises(WatermarkError, match="too small"):
        FrameMarker(PAYLOAD).mark(np.zeros((64, 64, 3), np.uint8))
    assert FramePool().finish().reading.payload is None
    assert not FramePool().add(np.zeros((10, 10, 3), np.uint8), 0.0)
