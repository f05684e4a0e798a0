"""Checks of fresh marks: what they notice, and what the embedder does about it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from countermark.core.perturb import perturb
from countermark.provenance import watermark
from countermark.provenance.watermark import checks, coding, embedding, layout, perception, spectrum, views

PAYLOAD = bytes.fromhex("5a313233343500ff")
LAYOUT = layout.layout_for(None)


def solved(plane: np.ndarray, error: float, asked: list[views.View] | None = None) -> np.ndarray:
    """The plane with a mark of that mean squared error."""
    parts = views.analyse(plane)
    solution = embedding.solve(
        parts, asked or [views.nominal(plane, parts)], coding.encode(PAYLOAD), LAYOUT, 3.0, (error, error)
    )
    return plane + solution.plane


def levels(plane: np.ndarray) -> np.ndarray:
    """The same in whole grey levels, as a picture."""
    return cv2.cvtColor(np.clip(plane.round(), 0, 255).astype(np.uint8), cv2.COLOR_GRAY2RGB)


def test_a_strong_mark_misses_nothing_and_a_faint_one_does(photograph: np.ndarray) -> None:
    plane = perception.luma(photograph)
    parts = views.analyse(plane)
    assert checks.missed(levels(solved(plane, 8.0)), PAYLOAD, LAYOUT, parts) == frozenset()
    assert checks.UNREADABLE in checks.missed(levels(solved(plane, 0.05)), PAYLOAD, LAYOUT, parts)
    assert checks.UNREADABLE in checks.missed(levels(solved(plane, 8.0)), bytes(8), LAYOUT, parts)


def test_marks_that_brightening_cuts_off_are_noticed(photograph: np.ndarray) -> None:
    """A mark in white paper only: strong as it is, gone as soon as the picture is brightened."""
    plane = np.full((384, 384), 235, np.float32)
    marked = levels(solved(plane, 6.0))
    found = checks.missed(marked, PAYLOAD, LAYOUT, views.analyse(plane))
    assert {checks.BRIGHT, checks.CONTRAST} <= found
    assert checks.UNREADABLE not in found


def test_a_mark_that_webp_wipes_off_a_flat_drawing_is_noticed() -> None:
    """In colour: what the check says is what happens to the file."""
    drawing = np.full((300, 360, 3), (246, 240, 225), np.uint8)
    for row in range(20, 280, 52):
        cv2.rectangle(drawing, (120, row), (330, row + 30), (200, 120, 60), 1, cv2.LINE_AA)
        cv2.putText(drawing, "colour", (10, row + 24), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (40, 40, 90), 1)
    plane = perception.luma(drawing)
    parts = views.analyse(plane)
    lost = []
    for error in (1.0, 2.0, 4.0, 8.0, 14.0):
        change = (solved(plane, error) - plane)[..., None]
        marked = np.clip((drawing + change).round(), 0, 255).astype(np.uint8)
        found = checks.missed(marked, PAYLOAD, LAYOUT, parts)
        kept = watermark.read(perturb("webp:75", marked), search=False).payload == PAYLOAD
        assert kept or {checks.FLAT, checks.UNREADABLE} & found, error
        lost.append(not kept)
    assert any(lost) and not all(lost), lost


def test_amplitude_is_taken_from_what_is_cut_off() -> None:
    plane = np.full((200, 300), 120, np.float32)
    plane[:, 150:] = 240
    plane[:, :50] = 10
    assert checks.damped(plane, {checks.COARSE}, 0.4) is None
    bright = checks.damped(plane, {checks.BRIGHT}, 0.4)
    contrast = checks.damped(plane, {checks.CONTRAST}, 0.4)
    assert bright is not None and contrast is not None
    assert bright[100, [20, 100, 200]] == pytest.approx([1, 1, 0.4])
    assert contrast[100, [20, 100, 200]] == pytest.approx([0.4, 1, 0.4])


def test_a_blurred_view_is_what_the_reader_sees_after_a_blur(photograph: np.ndarray) -> None:
    plane = perception.luma(photograph)
    parts = views.analyse(plane)
    view = views.blurred(plane, parts, 2.0, 1.0)
    change = solved(plane, 4.0) - plane
    tile = change / parts.carrier
    after = cv2.GaussianBlur(plane + change, (0, 0), 2.0)
    gain = views.analyse(cv2.GaussianBlur(plane, (0, 0), 2.0))
    seen = spectrum.transform(spectrum.fold(perception.high_pass(after) * gain.gain))[: views.ROWS]
    expected = view.seen(tile[: layout.TILE, : layout.TILE]) * view.noise
    bins = (LAYOUT.pilots[:, 1], LAYOUT.pilots[:, 0])
    agreement = np.corrcoef(np.abs(seen[bins]), np.abs(expected[bins]))[0, 1]
    assert agreement > 0.95


def test_views_and_embedder_use_the_same_tile() -> None:
    """The real transforms of half a plane are those of the whole."""
    random = np.random.default_rng(3)
    tile = embedding.synthesise(
        random.normal(size=coding.CODE_BITS),
        np.ones(LAYOUT.chips.shape),
        random.normal(size=len(LAYOUT.pilots)),
        LAYOUT,
    )
    view = views.View(
        host=np.zeros((views.ROWS, layout.TILE), np.complex64),
        noise=np.ones((views.ROWS, layout.TILE), np.float32),
        response=np.ones((layout.TILE, layout.TILE), np.float32),
    )
    whole = spectrum.transform(tile)[: views.ROWS]
    assert np.allclose(view.seen(tile), whole, atol=1e-5 * np.abs(whole).max())


def test_small_strongly_textured_pictures_keep_turns_and_screenshots() -> None:
    random = np.random.default_rng(9)
    rough = cv2.GaussianBlur(random.standard_normal((256, 256, 3)).astype(np.float32), (0, 0), 1.2)
    picture = np.clip(128 + 190 * rough, 0, 255).astype(np.uint8)
    picture[:, :90] = np.clip(120 + 0.2 * (picture[:, :90].astype(float) - 128), 0, 255)
    done = watermark.embed(picture, PAYLOAD)
    for spec in ("jpeg:50", "rotate:5", "screenshot"):
        assert watermark.read(perturb(spec, done), time_budget=None).payload == PAYLOAD, spec


@pytest.mark.parametrize("value", [0, 255])
def test_blank_pictures_are_refused_with_a_reason(value: int) -> None:
    blank = np.full((300, 300, 3), value, np.uint8)
    blank[10, 10] = 128
    with pytest.raises(watermark.WatermarkError) as caught:
        watermark.embed(blank, PAYLOAD)
    assert caught.value.code == "watermark.unreadable"
    assert "blank" in str(caught.value)


def test_a_grey_wall_is_not_blank() -> None:
    wall = np.full((300, 300, 3), 128, np.uint8)
    done = watermark.embed(wall, PAYLOAD)
    for spec in ("jpeg:50", "webp:75", "contrast:1.3"):
        assert watermark.read(perturb(spec, done), search=False).payload == PAYLOAD, spec


def test_a_smooth_picture_is_marked_in_patches_that_codecs_leave() -> None:
    y, x = np.mgrid[:400, :600]
    sky = np.stack([120 + x / 20, 140 + y / 10, 190 + y / 20], axis=2).astype(np.uint8)
    done = watermark.embed(sky, PAYLOAD)
    for spec in ("jpeg:30", "webp:75", "screenshot"):
        assert watermark.read(perturb(spec, done), time_budget=None).payload == PAYLOAD, spec


@pytest.mark.parametrize("share", [0.33, 0.5])
def test_patches_cover_their_share(share: float) -> None:
    factor = checks.patches((640, 640), share)
    assert factor.shape == (640, 640) and factor.dtype == np.float32
    assert float(factor.mean()) == pytest.approx(share, abs=0.06)
    assert float(factor.min()) >= 0 and float(factor.max()) <= 1.0001
    assert np.array_equal(factor, checks.patches((640, 640), share))
