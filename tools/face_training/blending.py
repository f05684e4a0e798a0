"""Training pictures for the face expert: portraits whose face was put in, made from real portraits alone.

A part of the face is replaced by a changed copy of itself (self-blending, Shiohara and Yamasaki 2022), by
its copy through an autoencoder or a smaller size (what a swapping network leaves), or by another face of
about the same pose, laid over by its landmarks. Masks are ellipses, hulls of the landmarks or parts of
both, soft or hard; the rest of the picture keeps its pixels. Real and blended portraits then go through
the same draw of a delivery.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from countermark.core.images import Pixels
from countermark.core.perturb import perturb
from countermark.detectors.faces.find import Face
from face_training.video import as_frame

Reconstruct = Callable[[Pixels, np.random.Generator], Pixels]
KINDS = ("self", "twin", "small", "other")
SHARES = (0.4, 0.12, 0.23, 0.25)


@dataclass(frozen=True)
class Portrait:
    """A picture cut around one face (uint8 RGB), and the face in its pixels."""

    pixels: Pixels
    face: Face


def blend(
    portrait: Portrait,
    donors: Sequence[Portrait],
    generator: np.random.Generator,
    reconstruct: Reconstruct | None = None,
    kind: str | None = None,
) -> tuple[Pixels, np.ndarray, str]:
    """The portrait with a face put in, the share of every pixel that is new, and how (one of ``KINDS``)."""
    kind = kind or str(generator.choice(KINDS, p=SHARES))
    if kind == "twin" and reconstruct is None:
        kind = "small"
    if kind == "other":
        inserted = _laid_over(portrait, donors[int(generator.integers(len(donors)))], generator)
    elif kind == "twin":
        assert reconstruct is not None
        inserted = _through(portrait, generator, reconstruct)
    elif kind == "small":
        inserted = _small(portrait.pixels, portrait.face, generator)
    else:
        inserted = portrait.pixels
    if kind == "self" or generator.random() < 0.3:
        inserted = _changed(inserted, portrait.face, generator)
    elif kind == "other" and generator.random() < 0.5:
        inserted = _small(inserted, portrait.face, generator)
    mask = face_mask(portrait.face, portrait.pixels.shape[:2], generator)
    if kind in ("self", "other") and generator.random() < 0.15:
        cloned = _cloned(portrait.pixels, inserted, mask)
        if cloned is not None:
            return cloned, (mask > 0.5).astype(np.float32), kind
    mask *= float(generator.choice([1.0, 1.0, 1.0, generator.uniform(0.6, 1)]))
    mixed = portrait.pixels + mask[..., None] * (inserted.astype(np.float32) - portrait.pixels)
    return np.clip(mixed + 0.5, 0, 255).astype(np.uint8), mask, kind


def face_mask(face: Face, shape: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
    """float32 H x W in [0, 1]: an ellipse or a hull about the face, at times only a part, soft or hard."""
    eyes, middle, turn = _frame(face)
    side = max(face.box[2:])
    mask = np.zeros(shape, np.float32)
    if generator.random() < 0.45:
        centre = middle + side * generator.normal(0, 0.03, 2)
        axes = side * np.array([generator.uniform(0.32, 0.48), generator.uniform(0.42, 0.62)])
        ellipse = (tuple(map(float, centre)), tuple(map(float, 2 * axes)), turn)
        cv2.ellipse(mask, ellipse, 1.0, -1, cv2.LINE_AA)
    else:
        hull = _outline(face, generator)
        cv2.fillConvexPoly(mask, cv2.convexHull(hull.astype(np.float32)).astype(np.int32), 1.0, cv2.LINE_AA)
    part = generator.random()
    height = np.arange(shape[0], dtype=np.float32)[:, None]
    if part < 0.08:
        mask *= height < eyes[1] + 0.25 * side  # eyes and brows
    elif part < 0.16:
        mask *= height > eyes[1] + 0.1 * side  # nose and mouth
    if generator.random() < 0.35:  # an uneven outline, as of a segmented face
        noise = cv2.resize(
            generator.normal(0, 1, (6, 6)).astype(np.float32), shape[::-1], interpolation=cv2.INTER_CUBIC
        )
        grid = np.indices(shape, np.float32)
        reach = side * 0.03
        mask = cv2.remap(mask, grid[1] + reach * noise, grid[0] + reach * noise[:, ::-1], cv2.INTER_LINEAR)
    soft = side * float(np.exp(generator.uniform(np.log(0.006), np.log(0.12))))
    soft_mask = cv2.GaussianBlur(mask, (0, 0), max(0.5, soft))
    if generator.random() < 0.5:  # shrunk, so that the blend ends inside of the outline
        soft_mask = np.clip(2 * soft_mask - 1, 0, 1)
    return np.clip(soft_mask, 0, 1).astype(np.float32)


def delivered(pixels: Pixels, generator: np.random.Generator) -> Pixels:
    """What may happen to a portrait afterwards; the same draw for real and blended ones."""
    if generator.random() < 0.35:
        factor = float(np.exp(generator.uniform(np.log(0.35), np.log(1.3))))
        pixels = perturb(f"resize:{factor:.3f}", pixels)
    if generator.random() < 0.12:
        name, low, high = [
            ("blur", 0.4, 1.2),
            ("sharpen", 0.3, 1.2),
            ("noise", 1.5, 6),
            ("gamma", 0.8, 1.25),
        ][int(generator.integers(4))]
        pixels = perturb(f"{name}:{generator.uniform(low, high):.2f}", pixels, generator)
    if generator.random() < 0.2:
        pixels = as_frame(pixels, int(generator.integers(17, 34)))
    for _ in range(int(generator.choice([0, 1, 2], p=[0.25, 0.55, 0.2]))):
        codec = "webp" if generator.random() < 0.12 else "jpeg"
        pixels = perturb(f"{codec}:{int(generator.integers(45, 98))}", pixels, generator)
    return pixels


def retouched(portrait: Portrait, generator: np.random.Generator) -> Pixels:
    """What photographers do to faces: softened skin, brighter eyes, dodged light, blurred background."""
    pixels, face = portrait.pixels, portrait.face
    side = max(face.box[2:])
    _, middle, turn = _frame(face)
    whole = np.zeros(pixels.shape[:2], np.float32)
    cv2.ellipse(whole, (tuple(map(float, middle)), (0.95 * side, 1.25 * side), turn), 1.0, -1)
    whole = cv2.GaussianBlur(whole, (0, 0), 0.12 * side)[..., None]
    found = pixels.astype(np.float32)
    chosen = generator.random(4)
    if chosen[0] < 0.7:
        width = int(np.clip(side / 40, 3, 15))
        smooth = cv2.bilateralFilter(pixels, 2 * width + 1, float(generator.uniform(15, 45)), width)
        grain = found - cv2.GaussianBlur(found, (0, 0), max(1.0, side / 200))
        soft = smooth + grain * float(generator.uniform(0.1, 0.6))
        found += whole * float(generator.uniform(0.3, 0.9)) * (soft - found)
    if chosen[1] < 0.4:
        light = cv2.GaussianBlur(
            generator.normal(0, 1, pixels.shape[:2]).astype(np.float32), (0, 0), side / 5
        )
        light = light / (np.abs(light).max() + 1e-6) * float(generator.uniform(0.03, 0.12))
        found *= 1 + light[..., None]
    if chosen[2] < 0.3:
        found += (1 - whole) * (
            cv2.GaussianBlur(found, (0, 0), side * float(generator.uniform(0.01, 0.05))) - found
        )
    if chosen[3] < 0.4:
        found += whole * float(generator.uniform(0.2, 0.8)) * (found - cv2.GaussianBlur(found, (0, 0), 1.5))
    return np.clip(found + 0.5, 0, 255).astype(np.uint8)


def _frame(face: Face) -> tuple[np.ndarray, np.ndarray, float]:
    """The middle of the eyes, the middle of the face, and by how many degrees it leans."""
    marks = np.array(face.landmarks)
    eyes = (marks[0] + marks[1]) / 2
    across = marks[1] - marks[0]
    turn = float(np.degrees(np.arctan2(across[1], across[0])))
    return eyes, (eyes + 2 * marks[2] + marks[3]) / 4, turn


def _outline(face: Face, generator: np.random.Generator) -> np.ndarray:
    """Points about a face: ears, brows, cheeks and chin, as far as six landmarks tell."""
    marks = np.array(face.landmarks)
    eyes, middle, _ = _frame(face)
    down = marks[3] - eyes
    brow, chin, cheek = (
        generator.uniform(0.35, 0.9),
        generator.uniform(0.55, 0.85),
        generator.uniform(0.75, 1.0),
    )
    points = [
        marks[0] + (marks[0] - eyes) * 0.5 - brow * down,
        eyes - (brow + 0.08) * down,
        marks[1] + (marks[1] - eyes) * 0.5 - brow * down,
        middle + (marks[5] - middle) * cheek,
        marks[3] + 0.75 * (marks[5] - middle) * cheek + 0.1 * down,
        marks[3] + 0.3 * (marks[5] - middle) + chin * 0.9 * down,
        marks[3] + chin * down,
        marks[3] + 0.3 * (marks[4] - middle) + chin * 0.9 * down,
        marks[3] + 0.75 * (marks[4] - middle) * cheek + 0.1 * down,
        middle + (marks[4] - middle) * cheek,
    ]
    return np.array(points) + generator.normal(0, 0.015 * max(face.box[2:]), (10, 2))


def _changed(pixels: Pixels, face: Face, generator: np.random.Generator) -> Pixels:
    """A copy in other colours, sharpness, noise or compression, and moved or stretched by a little."""
    side = max(face.box[2:])
    found = pixels
    if generator.random() < 0.7:
        lab = cv2.cvtColor(found, cv2.COLOR_RGB2LAB).astype(np.float32)
        gains = 1 + generator.normal(0, [0.06, 0.08, 0.08])
        lab = (lab - 128) * gains + 128 + generator.normal(0, [6, 3, 3])
        found = cv2.cvtColor(np.clip(lab, 0, 255).astype(np.uint8), cv2.COLOR_LAB2RGB)
    what = generator.random()
    if what < 0.3:
        found = perturb(f"blur:{generator.uniform(0.4, 1.6) * max(1, side / 250):.2f}", found)
    elif what < 0.45:
        found = perturb(f"sharpen:{generator.uniform(0.4, 1.6):.2f}", found)
    elif what < 0.6:
        found = perturb(f"jpeg:{int(generator.integers(35, 90))}", found)
    elif what < 0.7:
        found = perturb(f"noise:{generator.uniform(2, 7):.1f}", found, generator)
    elif what < 0.9:
        found = _small(found, face, generator)
    if generator.random() < 0.7:
        _, middle, _ = _frame(face)
        turn, scale = float(generator.normal(0, 1.5)), float(np.exp(generator.normal(0, 0.025)))
        matrix = cv2.getRotationMatrix2D(tuple(map(float, middle)), turn, scale)
        matrix[:, 2] += side * generator.normal(0, 0.012, 2)
        found = cv2.warpAffine(
            found, matrix, found.shape[1::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
        )
    return found


def _small(pixels: Pixels, face: Face, generator: np.random.Generator) -> Pixels:
    """Through the size at which a network makes faces (64-320 pixels), and back; at times sharpened."""
    side = 1.6 * max(face.box[2:])
    size = float(np.exp(generator.uniform(np.log(64), np.log(320))))
    factor = min(0.95, size / side)
    small = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    if generator.random() < 0.3:
        small = cv2.medianBlur(small, 3)
    kernel = int(generator.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4]))
    found = cv2.resize(small, pixels.shape[1::-1], interpolation=kernel)
    if generator.random() < 0.5:
        found = perturb(f"sharpen:{generator.uniform(0.5, 2.5):.2f}", found)
    if generator.random() < 0.25:
        found = perturb(f"noise:{generator.uniform(1, 5):.1f}", found, generator)
    return found


def _through(portrait: Portrait, generator: np.random.Generator, reconstruct: Reconstruct) -> Pixels:
    """The face's surroundings through an autoencoder, at 128-448 pixels of 1.7 times its box."""
    x, y, wide, high = portrait.face.box
    side = 1.7 * max(wide, high)
    left, top = int(max(0, x + wide / 2 - side / 2)), int(max(0, y + high / 2 - side / 2))
    part = portrait.pixels[top : top + int(side), left : left + int(side)]
    size = min(int(generator.choice([128, 192, 256, 256, 384, 448])), max(part.shape[:2]))
    factor = size / max(part.shape[:2])
    high_, wide_ = (max(64, round(n * factor) // 8 * 8) for n in part.shape[:2])
    copy = reconstruct(cv2.resize(part, (wide_, high_), interpolation=cv2.INTER_AREA), generator)
    found = portrait.pixels.copy()
    kernel = cv2.INTER_CUBIC if generator.random() < 0.7 else cv2.INTER_LINEAR
    found[top : top + part.shape[0], left : left + part.shape[1]] = cv2.resize(
        copy, part.shape[1::-1], interpolation=kernel
    )
    return found


def _laid_over(portrait: Portrait, donor: Portrait, generator: np.random.Generator) -> Pixels:
    """Another face moved onto this one's landmarks, its colours brought near."""
    theirs = np.array(donor.face.landmarks, np.float32)
    ours = np.array(portrait.face.landmarks, np.float32)
    if generator.random() < 0.5:
        matrix, _ = cv2.estimateAffinePartial2D(theirs, ours, method=cv2.LMEDS)
    else:
        matrix, _ = cv2.estimateAffine2D(theirs, ours, method=cv2.LMEDS)
    if matrix is None:
        return portrait.pixels
    source, scale = donor.pixels, float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    if scale < 0.6:
        source = cv2.resize(source, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        matrix = matrix.copy()
        matrix[:, :2] /= scale
    size = portrait.pixels.shape[1::-1]
    moved = cv2.warpAffine(source, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    x, y, wide, high = (max(0, int(n)) for n in portrait.face.box)
    inside = (slice(y, y + high), slice(x, x + wide))
    a, b = (cv2.cvtColor(p, cv2.COLOR_RGB2LAB).astype(np.float32) for p in (moved, portrait.pixels))
    if not a[inside].size:
        return portrait.pixels
    gain = (b[inside].std(axis=(0, 1)) + 1) / (a[inside].std(axis=(0, 1)) + 1)
    fit = (a - a[inside].mean(axis=(0, 1))) * np.clip(gain, 0.6, 1.6) + b[inside].mean(axis=(0, 1))
    near = a + float(generator.uniform(0.6, 1.0)) * (fit - a)
    return cv2.cvtColor(np.clip(near, 0, 255).astype(np.uint8), cv2.COLOR_LAB2RGB)


def _cloned(pixels: Pixels, inserted: Pixels, mask: np.ndarray) -> Pixels | None:
    """Poisson blending, as classical swaps are made; None where the mask touches an edge."""
    hard = (mask > 0.5).astype(np.uint8) * 255
    x, y, wide, high = cv2.boundingRect(hard)
    inside = x > 2 and y > 2 and x + wide < pixels.shape[1] - 2 and y + high < pixels.shape[0] - 2
    if min(wide, high) < 8 or not inside or max(wide, high) > 420:
        return None
    return cv2.seamlessClone(inserted, pixels, hard, (x + wide // 2, y + high // 2), cv2.NORMAL_CLONE)
