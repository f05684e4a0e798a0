"""Clips made from pictures by panning and zooming: what is left of a mark, of the detector, and at what cost.

    python benchmarks/video.py marks PHOTOGRAPHS --clips 100
    python benchmarks/video.py detector REAL SYNTHETIC --clips 60
    python benchmarks/video.py speed PHOTOGRAPH
    python benchmarks/video.py table            # writes docs/benchmark-video.md from what the others left

``marks``: 1080p clips of two seconds (12 frames a second), marked frame by frame, stored as H.264 crf 18,
then scaled to 720p and stored as H.264 crf 28; read as ``scan`` reads them. Some of them unmarked show false
alarms, whose rate is bounded by derivation (``provenance/watermark/pooling.py``), not by counting.
``detector``: the same picture as it is, and as a clip at crf 23 and 28. ``speed``: a 1080p clip of 60 s (30
frames a second) against one picture of its size, in processor seconds, because machines differ and are
shared. Raw figures go to ``runs/``.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import cv2
import numpy as np

from countermark.core.errors import CountermarkError
from countermark.core.images import Pixels, iter_image_paths, read_image, write_image
from countermark.core.seeds import rng
from countermark.core.video.reader import open_clip
from countermark.core.video.sampling import Sampling
from countermark.detectors import load_detector
from countermark.provenance.watermark.frames import FrameMarker
from countermark.provenance.watermark.pooling import FramePool

ROOT = Path(__file__).resolve().parent.parent
RUNS, OUT = ROOT / "runs" / "video", ROOT / "docs" / "benchmark-video.md"
RATE, SECONDS = 12, 2
FAST = 30
FULL, SMALL = (1920, 1080), (1280, 720)
SCAN = """
import re, resource, sys, threading, time
from countermark.core.video import reader

# ru_maxrss of a child begins with what its parent had: peaks are read from /proc.
peaks, start = {}, time.monotonic()
def peak(process):
    try:
        return int(re.search(r"VmHWM:\\s+(\\d+)", open(f"/proc/{process}/status").read())[1]) / 1e3
    except (OSError, TypeError):
        return 0.0
def watched(*arguments, begin=reader._start):
    process = begin(*arguments)
    def look():
        while process.poll() is None:
            peaks[process.pid] = max(peaks.get(process.pid, 0.0), peak(process.pid))
            time.sleep(0.02)
    threading.Thread(target=look, daemon=True).start()
    return process
reader._start = watched

from countermark.cli import run
sys.stdout = open(sys.argv[2], "w")
assert run(["scan", sys.argv[1], "--json"]) == 0
own, child = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
print(own.ru_utime + own.ru_stime, child.ru_utime + child.ru_stime, peak("self"),
      max(peaks.values(), default=0.0), time.monotonic() - start, file=sys.stderr)
"""


def pan(picture: Pixels, count: int, size: tuple[int, int], *labels: object) -> Iterator[Pixels]:
    """Frames of a camera that moves over a picture and comes nearer or goes back; any size of picture."""
    random = rng(0, "pan", *labels)
    (width, height), (rows, columns) = size, picture.shape[:2]
    begin = random.uniform(0.6, 0.9)
    shares = np.linspace(begin, begin * random.uniform(0.85, 1.1), count)
    places = random.uniform(0.35, 0.65, (2, 2))
    for share, a in zip(shares, np.linspace(0, 1, count), strict=True):
        wide = min(columns, rows * width / height) * share
        high = wide * height / width
        x, y = (places[0] * (1 - a) + places[1] * a) * (columns, rows)
        left, top = np.clip(x - wide / 2, 0, columns - wide), np.clip(y - high / 2, 0, rows - high)
        zoom = width / wide
        matrix = np.array([[zoom, 0, -left * zoom], [0, zoom, -top * zoom]])
        how = cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
        yield cv2.warpAffine(picture, matrix, size, flags=how, borderMode=cv2.BORDER_REFLECT_101)


def encode(
    path: Path | str, frames: Iterable[Pixels], size: tuple[int, int], crf: int, rate: int = RATE
) -> None:
    """Stores frames as H.264."""
    with av.open(str(path), "w") as target:
        stream = target.add_stream("libx264", rate=rate, options={"crf": str(crf), "preset": "veryfast"})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for frame in frames:
            target.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        target.mux(stream.encode(None))


def frames_of(path: Path, **options: object) -> Iterator[tuple[float, Pixels]]:
    """Time and pixels as a scan gets them."""
    with open_clip(path, Sampling(**options)) as clip:
        for frame in clip:
            yield frame.time, frame.pixels


def pictures(folders: list[Path], count: int, least: int = 480) -> Iterator[tuple[str, Pixels]]:
    """Pictures of folders in turn, so that every folder has its share."""
    found: dict[str, list[Path]] = {}
    for path in iter_image_paths(folders):
        found.setdefault(path.parent.name, []).append(path)
    turns = sorted((number, name) for name, paths in found.items() for number in range(len(paths)))
    for number, name in turns:
        if count <= 0:
            return
        try:
            pixels = read_image(found[name][number]).pixels
        except CountermarkError:
            continue
        if min(pixels.shape[:2]) >= least:
            count -= 1
            yield f"{name}/{found[name][number].name}", pixels


def read(path: Path) -> tuple[str | None, float, int, int]:
    """Payload (hex), p-value, frames, and frames in which it was read alone."""
    pool = FramePool()
    for time, pixels in frames_of(path):
        pool.add(pixels, time)
    found = pool.finish()
    payload = found.reading.payload
    return payload.hex() if payload else None, found.reading.p_value, found.frames, found.alone


def marks(options: argparse.Namespace) -> None:
    """Marks 100 clips, stores them twice, reads them; rows are added as they are made."""
    rows_file = RUNS / "marks.jsonl"
    done = (
        {json.loads(line)["picture"] for line in rows_file.read_text().splitlines()}
        if rows_file.exists()
        else set()
    )
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for number, (name, picture) in enumerate(pictures(options.folders, options.clips)):
            if name in done:
                continue
            payload = rng(0, "payload", name).bytes(8)
            ratios: list[float] = []
            encode(work / "full.mp4", marked(picture, name, payload, ratios), FULL, 18)
            whole = (pixels for _, pixels in frames_of(work / "full.mp4", whole=True))
            small = (cv2.resize(frame, SMALL, interpolation=cv2.INTER_AREA) for frame in whole)
            encode(work / "small.mp4", small, SMALL, 28)
            plain = None
            if number % 4 == 0:  # the rate of false alarms is derived; these show that nothing is odd
                unmarked = pan(picture, SECONDS * RATE, FULL, name)
                small = (cv2.resize(frame, SMALL, interpolation=cv2.INTER_AREA) for frame in unmarked)
                encode(work / "plain.mp4", small, SMALL, 28)
                plain = read(work / "plain.mp4")[:2]
            found, p_value, count, alone = read(work / "small.mp4")
            first = next(iter(frames_of(work / "small.mp4", count=1, scenes=0.0)))[1]
            single = FramePool()
            single.add(first, 0.0)
            row = {
                "picture": name,
                "psnr": float(np.mean(ratios)),
                "kept": found == payload.hex(),
                "p": p_value,
                "frames": count,
                "alone": alone,
                "one frame": bool(single.finish()),
                "unmarked": plain,
                "bytes": [(work / f"{each}.mp4").stat().st_size for each in ("full", "small")],
            }
            with open(rows_file, "a") as stream:
                stream.write(json.dumps(row) + "\n")


def marked(picture: Pixels, name: str, payload: bytes, ratios: list[float]) -> Iterator[Pixels]:
    """Marked frames; ``ratios`` gets the signal-to-noise ratio (dB) of each."""
    marker = FrameMarker(payload)
    for frame in pan(picture, SECONDS * RATE, FULL, name):
        result = marker.mark(frame)
        ratios.append(cv2.PSNR(frame, result))
        yield result


def detector(options: argparse.Namespace) -> None:
    """Scores pictures as they are, and clips made of them."""
    model, rows_file = load_detector(), RUNS / "detector.jsonl"
    done = (
        {json.loads(line)["picture"] for line in rows_file.read_text().splitlines()}
        if rows_file.exists()
        else set()
    )
    with tempfile.TemporaryDirectory() as folder:
        for label, place in (("real", options.real), ("synthetic", options.synthetic)):
            for name, picture in pictures([place], options.clips):
                if f"{label}/{name}" in done:
                    continue
                scores = {"picture": [float(model.score([picture])[0])]}
                clip = Path(folder, "clip.mp4")
                frames = list(pan(picture, SECONDS * RATE, SMALL, name))
                scores["frames"] = model.score(frames[:: len(frames) // 5]).tolist()
                for crf in (23, 28):
                    encode(clip, frames, SMALL, crf)
                    seen = [pixels for _, pixels in frames_of(clip, count=5, scenes=0.0)]
                    scores[f"crf {crf}"] = model.score(seen).tolist()
                with open(rows_file, "a") as stream:
                    row = {"picture": f"{label}/{name}", "source": name.split("/")[0], "label": label}
                    stream.write(json.dumps({**row, "scores": scores}) + "\n")


def speed(options: argparse.Namespace) -> None:
    """Scans a clip of 60 s and one picture of its size, each in a process of its own, three times."""
    picture = read_image(options.picture).pixels
    with tempfile.TemporaryDirectory() as folder:
        clip, still = Path(folder, "clip.mp4"), Path(folder, "still.png")
        frames = (f for part in range(6) for f in pan(picture, 10 * FAST, FULL, part))
        encode(clip, frames, FULL, 23, FAST)
        write_image(still, next(pan(picture, 2, FULL, 0)))
        rows = {path.name: [_measured(path) for _ in range(options.repeats)] for path in (clip, still)}
        start = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        own = resource.getrusage(resource.RUSAGE_SELF).ru_utime
        found = read(clip)
        spent = resource.getrusage(resource.RUSAGE_SELF).ru_utime - own
        spent += resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - start
        (RUNS / "speed.json").write_text(
            json.dumps(
                {"scans": rows, "marks": {"seconds": spent, "frames": found[2]}, "cores": os.cpu_count()}
            )
        )


def _measured(path: Path) -> list[float]:
    answer = path.with_suffix(".json")
    command = [sys.executable, "-c", SCAN, str(path), str(answer)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    (row,) = json.loads(answer.read_text())["results"]
    frames = len(row["clip"]["timeline"]) if row["clip"] else 1
    return [*map(float, done.stderr.strip().splitlines()[-1].split()), frames]


def table(options: argparse.Namespace) -> None:
    """Writes the page from the rows (``video_tables``)."""
    from video_tables import page

    rows = {name: _rows(RUNS / f"{name}.jsonl") for name in ("marks", "detector")}
    speeds = json.loads((RUNS / "speed.json").read_text()) if (RUNS / "speed.json").exists() else None
    OUT.write_text(page(rows["marks"], rows["detector"], speeds, load_detector()))
    print(OUT.read_text())


def _rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def main() -> None:
    """Runs a part of the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = parser.add_subparsers(required=True)
    part = parts.add_parser("marks")
    part.add_argument("folders", type=Path, nargs="+")
    part.set_defaults(run=marks)
    part.add_argument("--clips", type=int, default=100)
    part = parts.add_parser("detector")
    part.add_argument("real", type=Path)
    part.add_argument("synthetic", type=Path)
    part.add_argument("--clips", type=int, default=60)
    part.set_defaults(run=detector)
    part = parts.add_parser("speed")
    part.add_argument("picture", type=Path)
    part.add_argument("--repeats", type=int, default=3)
    part.set_defaults(run=speed)
    parts.add_parser("table").set_defaults(run=table)
    options = parser.parse_args()
    RUNS.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    options.run(options)


if __name__ == "__main__":
    main()
