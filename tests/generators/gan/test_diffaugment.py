"""Differentiable augmentation: shapes, gradients, what is moved and rolled."""

from __future__ import annotations

import pytest
import torch

from countermark.generators.gan.diffaugment import AUGMENTATIONS, augment, roll


@pytest.mark.parametrize("name", list(AUGMENTATIONS))
def test_augmentations_keep_shape_and_let_gradients_through(name):
    torch.manual_seed(0)
    images = torch.rand(8, 3, 16, 16).requires_grad_(True)
    changed = augment(images, [name])
    assert changed.shape == images.shape
    assert not torch.equal(changed, images)
    changed.sum().backward()
    assert images.grad.abs().sum() > 0


def test_translation_moves_by_whole_pixels_and_fills_with_zeros():
    torch.manual_seed(1)
    image = torch.arange(1.0, 65.0).reshape(1, 1, 8, 8).repeat(64, 1, 1, 1)
    moved = augment(image, ["translation"])
    shifts = {tuple(m.flatten().tolist()) for m in moved}
    assert len(shifts) == 9  # one pixel each way at 1/8 of 8
    assert image[0].flatten().tolist() in [list(s) for s in shifts]
    assert any(0.0 in s for s in shifts)


def test_roll_keeps_every_pixel():
    torch.manual_seed(0)
    images = torch.randn(4, 3, 8, 8, requires_grad=True)
    rolled = roll(images)
    assert torch.equal(rolled.flatten(1).sort().values, images.flatten(1).sort().values)
    assert not torch.equal(rolled, images)
    rolled.sum().backward()
    assert torch.equal(images.grad, torch.ones_like(images))
