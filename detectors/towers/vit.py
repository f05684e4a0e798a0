"""The image tower of CLIP ViT-B/16 in PyTorch, cut off after any block, with every block's tokens pooled.

Intermediate blocks of a frozen CLIP tell generated images from photographs better than its final
embedding does: early blocks keep the pixels, late ones the content (Radford et al. 2021). This is the
reference of ``engine``, and what trains, has gradients and runs on GPUs. Names of the state are those of
timm's ``vit_base_patch16_clip_quickgelu_224``.

>>> import torch
>>> trunk = ClipTrunk(depth=2)
>>> trunk(torch.zeros(1, 3, 224, 224, dtype=torch.uint8), blocks=[1, 2]).shape
torch.Size([1, 2, 3, 768])
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from countermark.detectors.towers.shape import (
    ALL_POOLS,
    EPSILON,
    HEAD_DIM,
    HEADS,
    HIDDEN,
    MEAN,
    PATCH,
    QUICK,
    STD,
    TOKENS,
    WIDTH,
)


class ClipTrunk(nn.Module):
    """The first ``depth`` (1-12) blocks. Runs in the dtype of its weights; bf16 is enough for training.

    Args:
        depth: Number of blocks.
        empty: No weights are drawn or stored: they come by ``load_state_dict(..., assign=True)``.
        head_dim: Dimensions of each of the twelve heads, 64 in CLIP; fewer in a narrow copy.
        hidden: Neurons of each block, 3,072 in CLIP.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, depth: int = 12, *, empty: bool = False, head_dim: int = HEAD_DIM, hidden: int = HIDDEN
    ) -> None:
        super().__init__()
        self.depth, self.head_dim, self.hidden = depth, head_dim, hidden
        with torch.device("meta" if empty else "cpu"):
            self.vit = Transformer(depth, head_dim, hidden)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None] * 255, persistent=False)
        self.register_buffer("std", torch.tensor(STD)[:, None, None] * 255, persistent=False)

    def normalise(self, x: Tensor) -> Tensor:
        """uint8 [N, 3, 224, 224] RGB to the tower's input in its own dtype."""
        weight = self.vit.cls_token
        x = x.to(weight.device)
        return ((x.float() - self.mean.float()) / self.std.float()).to(weight.dtype)

    def tokens(self, x: Tensor, blocks: Sequence[int]) -> list[Tensor]:
        """Residual stream after each of ``blocks`` (counted from 1): [N, 197, 768] each, class first."""
        x = self.vit.embed(self.normalise(x))
        wanted, kept = set(blocks), {}
        for number, block in enumerate(self.vit.blocks[: max(blocks)], 1):
            x = block(x)
            if number in wanted:
                kept[number] = x
        return [kept[b] for b in blocks]

    def forward(self, x: Tensor, blocks: Sequence[int], pools: Sequence[int] = ALL_POOLS) -> Tensor:
        """uint8 [N, 3, 224, 224] to float32 [N, blocks, pools, 768]; ``pools`` are places in ``POOLS``."""
        return torch.stack([pool_tokens(t, pools) for t in self.tokens(x, blocks)], dim=1)

    def merge_activation(self) -> None:
        """Moves the factor 1.702 of quick GELU into the matrices around it, once: a sixth less time.

        x sigmoid(1.702 x) = silu(1.702 x) / 1.702, so that one elementwise step is left of three. The
        state is then another one: for scoring only.
        """
        for block in self.vit.blocks:
            layers: Any = block.mlp
            if isinstance(layers.act, nn.SiLU):
                continue
            with torch.no_grad():
                for weight in (layers.fc1.weight, layers.fc1.bias):
                    weight.mul_(QUICK)
                layers.fc2.weight.div_(QUICK)
            layers.act = nn.SiLU()


class Transformer(nn.Module):
    """Patches, a class token, places, and blocks; without a final norm."""

    def __init__(self, depth: int, head_dim: int, hidden: int) -> None:
        super().__init__()
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, WIDTH, PATCH, PATCH, bias=False)})
        self.cls_token = nn.Parameter(torch.randn(1, 1, WIDTH) * 1e-6)
        self.pos_embed = nn.Parameter(torch.randn(1, TOKENS, WIDTH) * 0.02)
        self.norm_pre = nn.LayerNorm(WIDTH, eps=EPSILON)
        self.blocks = nn.Sequential(*(Block(head_dim, hidden) for _ in range(depth)))

    def embed(self, x: Tensor) -> Tensor:
        """Normalised pixels [N, 3, 224, 224] to the first block's input [N, 197, 768]."""
        patches = self.patch_embed["proj"](x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), patches], dim=1) + self.pos_embed
        found: Tensor = self.norm_pre(tokens)
        return found


class Block(nn.Module):
    """Attention and two layers, each behind a norm and beside the residual stream."""

    def __init__(self, head_dim: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(WIDTH, eps=EPSILON)
        self.attn = Attention(head_dim)
        self.norm2 = nn.LayerNorm(WIDTH, eps=EPSILON)
        self.mlp = Layers(hidden)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        found: Tensor = x + self.mlp(self.norm2(x))
        return found


class Attention(nn.Module):
    """Self-attention of twelve heads with ``head_dim`` dimensions each; [N, tokens, 768] to the same."""

    def __init__(self, head_dim: int) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.qkv = nn.Linear(WIDTH, 3 * HEADS * head_dim)
        self.proj = nn.Linear(HEADS * head_dim, WIDTH)

    def mixed(self, x: Tensor) -> Tensor:
        """Values weighted by attention, before the projection: [N, tokens, 12 head_dim]."""
        split = self.qkv(x).reshape(*x.shape[:2], 3, HEADS, self.head_dim).permute(2, 0, 3, 1, 4)
        found = scaled_dot_product_attention(split[0], split[1], split[2])
        return found.transpose(1, 2).reshape(*x.shape[:2], -1)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.proj(self.mixed(x))
        return found


class Layers(nn.Module):
    """The two layers of a block, with a quick GELU between them."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(WIDTH, hidden)
        self.act: nn.Module = QuickGelu()
        self.fc2 = nn.Linear(hidden, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.fc2(self.act(self.fc1(x)))
        return found


class QuickGelu(nn.Module):
    """x sigmoid(1.702 x)."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(QUICK * x)


def pool_tokens(tokens: Tensor, pools: Sequence[int] = ALL_POOLS) -> Tensor:
    """[N, 197, 768] to float32 [N, pools, 768]: class token, mean, standard deviation of the patches."""
    tokens = tokens.float()
    patches = tokens[:, 1:]
    found = (lambda: tokens[:, 0], lambda: patches.mean(dim=1), lambda: patches.std(dim=1))
    return torch.stack([found[pool]() for pool in pools], dim=1)
