"""A learned watermark: networks, augmentations and a training recipe; no weights are shipped.

``python -m countermark.provenance.watermark.neural.train FOLDER --out neural.safetensors`` trains it.
See ``docs/watermark.md`` for what a short training reaches, and why the tile scheme is used instead.
"""
