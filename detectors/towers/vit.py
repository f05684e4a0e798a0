"""The image tower of CLIP ViT-B/16, cut off after any block, with every block's tokens pooled.

Intermediate blocks of a frozen CLIP tell generated images from photographs better than its final
embedding does: early blocks keep the pixels, late ones the content. The structure is timm's
``VisionTransformer`` as ``vit_base_patch16_clip_quickgelu_224`` sets it up (Radford et al. 2021).

>>> import torch
>>> trunk = ClipTrunk(depth=2)
>>> trunk(torch.zeros(1, 3, 224, 224, dtype=torch.uint8), blocks=[1, 2]).shape
torch.Size([1, 2, 3, 768])
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

WIDTH = 768
HEADS = 12
HEAD_DIM = 64
HIDDEN = 3072
GRID = 14
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
POOLS = ("class", "mean", "std")
ALL_POOLS = (0, 1, 2)
QUICK = 1.702


class ClipTrunk(nn.Module):
    """The first ``depth`` (1-12) blocks. Runs in the dtype of its weights; bf16 is enough.

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
            self.vit = VisionTransformer(
                img_size=224,
                patch_size=16,
                embed_dim=WIDTH,
                depth=depth,
                num_heads=HEADS,
                mlp_ratio=hidden / WIDTH,
                num_classes=0,
                pre_norm=True,
                final_norm=False,
                norm_layer=partial(nn.LayerNorm, eps=1e-5),
                act_layer="quick_gelu",
            )
            if head_dim != HEAD_DIM:
                for block in self.vit.blocks:
                    block.attn = NarrowAttention(head_dim)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None] * 255, persistent=False)
        self.register_buffer("std", torch.tensor(STD)[:, None, None] * 255, persistent=False)

    def normalise(self, x: Tensor) -> Tensor:
        """uint8 [N, 3, 224, 224] RGB to the tower's input in its own dtype."""
        weight = self.vit.patch_embed.proj.weight
        x = x.to(weight.device)
        return ((x.float() - self.mean.float()) / self.std.float()).to(weight.dtype)

    def tokens(self, x: Tensor, blocks: Sequence[int]) -> list[Tensor]:
        """Residual stream after each of ``blocks`` (counted from 1): [N, 197, 768] each, class first."""
        vit = self.vit
        x = vit.norm_pre(vit._pos_embed(vit.patch_embed(self.normalise(x))))
        wanted, kept = set(blocks), {}
        for number, block in enumerate(vit.blocks[: max(blocks)], 1):
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
        state is then no longer that of timm's structure: for scoring only.
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


class NarrowAttention(nn.Module):
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

    def forward(self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """Without a mask, which timm's blocks hand on."""
        return self.proj(self.mixed(x))


def pool_tokens(tokens: Tensor, pools: Sequence[int] = ALL_POOLS) -> Tensor:
    """[N, 197, 768] to float32 [N, pools, 768]: class token, mean, standard deviation of the patches."""
    tokens = tokens.float()
    patches = tokens[:, 1:]
    found = (lambda: tokens[:, 0], lambda: patches.mean(dim=1), lambda: patches.std(dim=1))
    return torch.stack([found[pool]() for pool in pools], dim=1)
