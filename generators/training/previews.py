"""Sample grids that a training leaves between its steps."""

from __future__ import annotations

from pathlib import Path

from countermark.core.errors import OutputError, TrainingError
from countermark.core.images import Pixels, write_image
from countermark.generators.grids import sheet

#: Pictures in a grid.
PREVIEW = 36


def write_preview(folder: Path, images: int, pixels: Pixels) -> None:
    """Writes ``samples-IMAGES.png`` of uint8 [N, H, W, 3]; TrainingError ``training.disk`` if it cannot."""
    try:
        write_image(folder / f"samples-{images:09d}.png", sheet(pixels), overwrite=True)
    except OutputError as error:
        raise TrainingError(
            error.message, code="training.disk", hint="Free some space and resume."
        ) from error
