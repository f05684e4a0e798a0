"""What commands ask of clips: how often to look, and how far the one under way is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from countermark.cli.progress import Steps

if TYPE_CHECKING:
    from countermark.app.clips.scan import ClipSettings
    from countermark.app.scan.thumbnails import Collector
    from countermark.core.video.sampling import ClipLimits, Sampling

EVERY = typer.Option(None, "--every", metavar="SECONDS", help="Of clips: look at a frame every so often.")
MAX_FRAMES = typer.Option(
    None,
    "--max-frames",
    help="Of clips: evenly spaced frames that are looked at (32; with --every at most, 2,000). Up to a "
    "quarter more follow scene changes.",
)
_WITH_EVERY = 2000


def clip_sampling(every: float | None, max_frames: int | None) -> Sampling:
    """Which frames a scan looks at.

    Raises:
        ConfigError: ``clip.frames`` or ``clip.every``: out of range.
    """
    from countermark.core.video.sampling import DEFAULT_FRAMES, Sampling

    return Sampling(max_frames or (DEFAULT_FRAMES if every is None else _WITH_EVERY), every)


def clip_settings(
    sampling: Sampling, limits: ClipLimits, collector: Collector | None, steps: Steps
) -> ClipSettings:
    """How a scan looks at clips."""
    from countermark.app.clips.scan import ClipSettings

    def show(path: str, done: float, total: float) -> None:
        steps.stage(f"Seconds of {Path(path).name[:40]}", round(done), max(round(total), round(done), 1))

    return ClipSettings(
        sampling=sampling,
        limits=limits,
        on_frame=show,
        on_strongest=None if collector is None else collector.frame,
        on_faces=None if collector is None else collector.faces,
    )
