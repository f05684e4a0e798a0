"""Narrow copies of a transformer tower: low-rank heads and fewer neurons, refitted by least squares.

A small detector wants the depth of a tower more than its width. Every block keeps its twelve heads
with fewer dimensions each and a part of its neurons; what is cut away is made good, block by block,
by ridge regression on the tower's own tokens (weight inheritance as in TinyCLIP, Wu et al. 2023;
layer-wise reconstruction as in He et al. 2017).

    slim = slim_trunk(trunk, views, head_dim=24, hidden=768)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from countermark.detectors.towers.packing import pack, unpack
from countermark.detectors.towers.shape import HEADS
from countermark.detectors.towers.vit import Attention, ClipTrunk

#: What the class token counts beside all 196 patches together: heads use it as much as their mean.
CLASS_SHARE = 0.25
RIDGE = 1e-2
BATCH = 16

#: Tokens to tokens, or to what a layer makes of them.
Layer = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class _Moments:
    """Mean [d] of a layer's inputs and a root [d, d] of their covariance (lower Cholesky factor)."""

    mean: Tensor
    root: Tensor


@torch.no_grad()
def slim_trunk(
    trunk: ClipTrunk, views: Tensor, *, head_dim: int, hidden: int, bits: int = 0, group: int = 64
) -> ClipTrunk:
    """A copy of ``trunk`` with ``head_dim`` dimensions a head and ``hidden`` neurons a block.

    With ``bits`` every matrix is rounded as ``pack_state`` will store it before what follows is fitted,
    so that later layers make good what rounding loses.

    Args:
        trunk: float32, with its activation not merged.
        views: uint8 [n, 3, 224, 224] RGB to calibrate on; a few hundred.
        head_dim: Less than the trunk's own.
        hidden: At most the trunk's own.
        bits: Of each weight, 2-8; not rounded if 0.
        group: Weights that share a scale.
    """
    slim = ClipTrunk(trunk.depth, head_dim=head_dim, hidden=hidden)
    for part in ("cls_token", "pos_embed"):
        getattr(slim.vit, part).copy_(getattr(trunk.vit, part))
    for part in ("patch_embed", "norm_pre"):
        getattr(slim.vit, part).load_state_dict(getattr(trunk.vit, part).state_dict())
    wide = torch.cat([_embedded(trunk, v) for v in views.split(BATCH)])
    thin = wide.clone()
    blocks: Any = zip(trunk.vit.blocks, slim.vit.blocks, strict=True)
    for old, new in blocks:
        for norm in ("norm1", "norm2"):
            getattr(new, norm).load_state_dict(getattr(old, norm).state_dict())
        _narrow_heads(old.attn, new.attn, _moments(old.norm1, wide))
        _round(new.attn.qkv, bits, group)
        _add(wide, partial(_attended, old))
        _refit(new.attn.proj, partial(_mixed, new), thin, wide)
        _round(new.attn.proj, bits, group)
        _add(thin, partial(_attended, new))
        kept = _strongest(old.mlp, partial(_neurons, old), wide, hidden)
        new.mlp.fc1.weight.copy_(old.mlp.fc1.weight[kept])
        new.mlp.fc1.bias.copy_(old.mlp.fc1.bias[kept])
        _round(new.mlp.fc1, bits, group)
        new.mlp.fc2.weight.copy_(old.mlp.fc2.weight[:, kept])
        new.mlp.fc2.bias.copy_(old.mlp.fc2.bias)
        _add(wide, partial(_answered, old))
        _refit(new.mlp.fc2, partial(_neurons, new), thin, wide)
        _round(new.mlp.fc2, bits, group)
        _add(thin, partial(_answered, new))
    return slim.eval()


def _embedded(trunk: ClipTrunk, views: Tensor) -> Tensor:
    vit = trunk.vit
    return vit.embed(trunk.normalise(views))


def _mixed(block: Any, x: Tensor) -> Tensor:
    found: Tensor = block.attn.mixed(block.norm1(x))
    return found


def _attended(block: Any, x: Tensor) -> Tensor:
    found: Tensor = block.attn(block.norm1(x))
    return found


def _neurons(block: Any, x: Tensor) -> Tensor:
    found: Tensor = block.mlp.act(block.mlp.fc1(block.norm2(x)))
    return found


def _answered(block: Any, x: Tensor) -> Tensor:
    found: Tensor = block.mlp(block.norm2(x))
    return found


def _add(x: Tensor, layer: Layer) -> None:
    """Adds what ``layer`` makes of the tokens, in place."""
    for part in x.split(BATCH):
        part += layer(part)


def _rows(x: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens [n, 197, d] as rows [n 197, d] and the weight of each."""
    weights = torch.full(x.shape[:2], (1 - CLASS_SHARE) / (x.shape[1] - 1))
    weights[:, 0] = CLASS_SHARE
    return x.reshape(-1, x.shape[-1]), weights.reshape(-1, 1)


def _moments(norm: Layer, x: Tensor) -> _Moments:
    total, mean, square = 0.0, torch.zeros(()), torch.zeros(())
    for part in x.split(BATCH):
        rows, weight = _rows(norm(part))
        total += float(weight.sum())
        mean = mean + (weight * rows).sum(dim=0).double()
        square = square + ((weight * rows).T @ rows).double()
    mean, square = mean / total, square / total
    covariance = square - mean[:, None] * mean
    ridge = RIDGE * covariance.diagonal().mean()
    return _Moments(mean, torch.linalg.cholesky(covariance + ridge * torch.eye(len(mean))))


def _narrow_heads(old: Any, new: Attention, moments: _Moments) -> None:
    """The best products of lower rank for queries with keys and for values with the projection.

    A key's part that is the same for all tokens does not change the softmax and is left out.
    """
    heads, wide, thin = HEADS, old.head_dim, new.head_dim
    weight = old.qkv.weight.double().reshape(3, heads, wide, -1)
    bias = old.qkv.bias.double().reshape(3, heads, wide)
    out = old.proj.weight.double().reshape(-1, heads, wide)
    root, mean = moments.root, moments.mean
    inverse = torch.linalg.inv(root)
    constant = old.proj.bias.double().clone()
    fresh, biases = (
        torch.zeros(3, heads, thin, weight.shape[-1]).double(),
        torch.zeros(3, heads, thin).double(),
    )
    proj = torch.zeros(out.shape[0], heads, thin).double()
    for head in range(heads):
        query, key, value = weight[:, head]
        # Queries with their mean beside them: [wide, d + 1]; the mean is no noise to be cut away.
        level = query @ mean + bias[0, head]
        asked = torch.cat([query @ root, level[:, None]], dim=1)
        u, s, v = _product(asked.T, key @ root / wide**0.5)
        half = s[:thin].sqrt() * thin**0.25
        fresh[0, head] = (half * u[:-1, :thin]).T @ inverse
        biases[0, head] = half * u[-1, :thin] - fresh[0, head] @ mean
        fresh[1, head] = (half * v[:thin].T).T @ inverse
        u, s, v = _product(out[:, head], value @ root)
        fresh[2, head] = (s[:thin].sqrt() * v[:thin].T).T @ inverse
        proj[:, head] = u[:, :thin] * s[:thin].sqrt()
        constant += out[:, head] @ (value @ mean + bias[2, head]) - proj[:, head] @ (fresh[2, head] @ mean)
    new.qkv.weight.copy_(fresh.reshape(3 * heads * thin, -1))
    new.qkv.bias.copy_(biases.reshape(-1))
    new.proj.weight.copy_(proj.reshape(len(proj), -1))
    new.proj.bias.copy_(constant)


def _product(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Singular value decomposition of ``left @ right`` for a small inner dimension."""
    first, small = torch.linalg.qr(left)
    second, other = torch.linalg.qr(right.T)
    u, s, v = torch.linalg.svd(small @ other.T)
    return first @ u, s, v @ second.T


def _strongest(mlp: Any, layer: Layer, x: Tensor, count: int) -> Tensor:
    """Places of the neurons whose deviation from their mean moves the output most."""
    total, mean, square = 0.0, torch.zeros(()), torch.zeros(())
    for part in x.split(BATCH):
        rows, weight = _rows(layer(part))
        total += float(weight.sum())
        mean = mean + (weight * rows).sum(dim=0)
        square = square + (weight * rows.square()).sum(dim=0)
    strength = (square / total - (mean / total).square()) * mlp.fc2.weight.square().sum(dim=0)
    return strength.topk(count).indices.sort().values


def _refit(linear: nn.Linear, layer: Layer, x: Tensor, aim: Tensor) -> None:
    """Ridge regression of what is missing from ``x`` to ``aim`` on ``layer(x)``, near the old weights."""
    gram, cross, total = torch.zeros(()).double(), torch.zeros(()).double(), 0.0
    for part, wanted in zip(x.split(BATCH), aim.split(BATCH), strict=True):
        inner = layer(part)
        missing, weight = _rows(wanted - part - linear(inner))
        rows = torch.cat([inner.reshape(len(missing), -1), torch.ones(len(missing), 1)], dim=1)
        gram = gram + ((weight * rows).T @ rows).double()
        cross = cross + ((weight * rows).T @ missing).double()
        total += float(weight.sum())
    gram, cross = gram / total, cross / total
    ridge = RIDGE * (gram.diagonal()[:-1] - gram[-1, :-1].square()).mean() * torch.eye(len(gram))
    ridge[-1, -1] = 0
    change = torch.linalg.solve(gram + ridge, cross).float()
    linear.weight.copy_(linear.weight + change[:-1].T)
    linear.bias.copy_(linear.bias + change[-1])


def _round(linear: nn.Linear, bits: int, group: int) -> None:
    """Rounds the weight to what ``pack`` stores, and back."""
    if bits:
        weight = linear.weight.detach().numpy()
        packed = pack(weight, bits=bits, group=group)
        linear.weight.copy_(torch.from_numpy(unpack(packed, weight.shape, bits=bits, group=group)))
