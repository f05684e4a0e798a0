"""For every test: a private home and one thread each, so that parallel workers don't fight."""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def _private_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing is read from or written to the user's own configuration folder."""
    before = os.environ.get("COUNTERMARK_HOME")
    os.environ["COUNTERMARK_HOME"] = str(tmp_path_factory.mktemp("countermark-home"))
    yield
    if before is None:
        del os.environ["COUNTERMARK_HOME"]
    else:
        os.environ["COUNTERMARK_HOME"] = before


@pytest.fixture(scope="session")
def make_clip() -> Callable[..., Path]:
    """Makes small clips: frames as uint8 RGB arrays, or ``count`` drawn ones that move."""
    av = pytest.importorskip("av")

    def make(
        path: Path,
        frames: Sequence[np.ndarray] | None = None,
        *,
        count: int = 20,
        size: tuple[int, int] = (320, 240),
        codec: str = "libx264",
        pixels: str = "yuv420p",
        rate: int = 10,
        stamps: Sequence[int] = (),
        sound: bool = False,
        texts: Mapping[str, str] | None = None,
        transfer: int = 2,
        **options: str,
    ) -> Path:
        frames = _drawn(count, size) if frames is None else frames
        moov = {"movflags": "use_metadata_tags"} if texts and path.suffix in (".mp4", ".mov") else {}
        with av.open(str(path), "w", options=moov) as target:
            target.metadata.update(texts or {})
            chosen = {"preset": "ultrafast", "crf": "16", **options} if codec == "libx264" else options
            stream = target.add_stream(codec, rate=rate, options=chosen)
            stream.width, stream.height, stream.pix_fmt = frames[0].shape[1], frames[0].shape[0], pixels
            stream.codec_context.thread_count = 1
            tone = target.add_stream("aac", rate=44_100) if sound else None
            for number, frame in enumerate(frames):
                shape = "rgba" if frame.shape[2] == 4 else "rgb24"
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format=shape)
                if transfer > 2:
                    picture = picture.reformat(format=pixels)
                    picture.color_trc, picture.color_primaries = transfer, 9
                picture.pts = stamps[number] if stamps else number
                picture.time_base = Fraction(1, rate)
                target.mux(stream.encode(picture))
            target.mux(stream.encode(None))
            for number in range(44_100 * len(frames) // rate // 1024 if tone else 0):
                wave = (8000 * np.sin(np.arange(1024) / 20)).astype(np.int16).reshape(1, -1)
                note = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
                note.sample_rate, note.pts = 44_100, 1024 * number
                target.mux(tone.encode(note))
            if tone is not None:
                target.mux(tone.encode(None))
        return path

    return make


@pytest.fixture(scope="session")
def drawn_frames() -> Callable[..., list[np.ndarray]]:
    """Frames of a clip that moves: ``drawn_frames(count, (width, height))``."""
    return _drawn


def _drawn(count: int, size: tuple[int, int] = (320, 240)) -> list[np.ndarray]:
    """Smooth noise that moves slowly, as a camera over a landscape; nothing in it repeats."""
    width, height = size
    random = np.random.default_rng(5)
    coarse = random.integers(40, 215, (height // 8 + 9, width // 8 + 9 + count // 4, 3)).astype(np.uint8)
    fine = random.normal(0, 12, (height + 64, width + 64 + 2 * count, 3))
    ground = (
        np.kron(coarse, np.ones((8, 8, 1)))[: fine.shape[0], : fine.shape[1]] + fine[:, : coarse.shape[1] * 8]
    )
    ground = ground.clip(0, 255).astype(np.uint8)
    return [ground[:height, 2 * n : 2 * n + width] for n in range(count)]


def _programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    beside = shutil.which("initdb")
    return found[0].parent if found else Path(beside).parent if beside else None


def _account() -> str | None:
    """Who runs the server: PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return getpass.getuser()
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in names), None)


@contextmanager
def _cluster() -> Iterator[str]:
    """The address of a PostgreSQL server of its own, in a temporary folder, without a network port."""
    programs, account = _programs(), _account()
    if programs is None or account is None:
        pytest.skip("PostgreSQL is not installed: apt-get install -y postgresql")
    folder = Path(tempfile.mkdtemp(prefix="cm-pg-"))
    as_root = os.getuid() == 0
    if as_root:
        shutil.chown(folder, account)
    data = folder / "data"

    def run(*command: str) -> None:
        done = subprocess.run(
            [str(programs / command[0]), *command[1:]],
            user=account if as_root else None,
            cwd=folder,
            env={"LC_ALL": "C", "PATH": os.environ["PATH"], "HOME": str(folder)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(done.stderr.decode(errors="replace"))

    try:
        run("initdb", "-D", str(data), "-U", "countermark", "-A", "trust", "--no-sync", "-E", "UTF8")
        options = f"-k {folder} -c listen_addresses= -c fsync=off"
        run("pg_ctl", "-D", str(data), "-o", options, "-l", str(folder / "log"), "-w", "start")
        try:
            yield f"postgresql://countermark@/postgres?host={folder}"
        finally:
            run("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Callable[[], AbstractContextManager[str]]:
    """Starts a PostgreSQL server; skipped where its programs or the driver are not installed."""
    pytest.importorskip(
        "psycopg", reason="PostgreSQL's driver is not installed: pip install 'psycopg[binary]'"
    )
    return _cluster
