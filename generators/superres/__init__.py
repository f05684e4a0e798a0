"""Super-resolution: a small adversarial network for twice the side, tiled, and its measures."""
