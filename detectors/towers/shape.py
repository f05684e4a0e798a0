"""The shape of CLIP ViT-B/16's image tower, which its two implementations share."""

from __future__ import annotations

WIDTH = 768
HEADS = 12
HEAD_DIM = 64
HIDDEN = 3072
PATCH = 16
GRID = 14
TOKENS = GRID * GRID + 1
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
#: Factor of the quick GELU, x sigmoid(1.702 x), and what is added to a variance before its root.
QUICK = 1.702
EPSILON = 1e-5
#: How a block's tokens are pooled.
POOLS = ("class", "mean", "std")
ALL_POOLS = (0, 1, 2)
