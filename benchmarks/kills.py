"""What benchmarks that kill share: pictures, a command in a fork that is killed, reports looked at."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
SIDE = 208


def make(folder: Path, count: int) -> None:
    """Smooth pictures that can carry a mark."""
    from countermark.core.images import write_image

    for number in range(count):
        noise = np.random.default_rng(number).integers(0, 255, (12, 12, 3), np.uint8)
        pixels = cv2.resize(noise, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        write_image(folder / f"{number:03}.png", pixels)


def at_home(work: Path) -> None:
    """Makes ``work / "home"`` the home of everything that is started from here, with an identity in it."""
    os.environ["COUNTERMARK_HOME"] = str(work / "home")
    from countermark.provenance.identities.store import get_identity

    get_identity("default")


def killed(
    arguments: list[str], seconds: float, begun: Callable[[], bool] = lambda: True
) -> tuple[int | None, float]:
    """Runs a command in a fork and kills it (SIGKILL) ``seconds`` after it has ``begun``.

    Returns:
        Its exit code, None if it was killed; and how long it had run.
    """
    from countermark.cli import run

    child = os.fork()
    if child == 0:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        os._exit(run(arguments))
    started, since = time.monotonic(), None
    while since is None or time.monotonic() - since < seconds:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), time.monotonic() - started
        if since is None and begun():
            since = time.monotonic()
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return None if code == -signal.SIGKILL else code, time.monotonic() - started


def torn_reports(folder: Path) -> tuple[int, int]:
    """Reports (``r.json``, ``r.sarif``) that do not parse, and all that are there."""
    bad = looked = 0
    for name in ("r.json", "r.sarif"):
        if (folder / name).exists():
            looked += 1
            try:
                json.loads((folder / name).read_text())
            except ValueError:
                bad += 1
    return bad, looked
