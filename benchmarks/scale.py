"""Scans of many pictures: cost by stage, growth, kills, a cluster; writes the table of docs/scale.md.

    python benchmarks/scale.py --pictures 100 1000 --ray 200 --out docs/scale-figures.md
    python benchmarks/scale.py --pictures 0 --stages 0 --ray 1000 --options "-d lite --mark-seconds 0"

Pictures are made here: JPEGs of short side 320, originals as in ``startup.py`` with variations. The longest
scan is killed twice (SIGKILL) and resumed; of the one on Ray a worker is killed. Processor seconds are those
of all processes; memory is that of the scanning process, sampled while it runs. Ray and the plain path are
compared by what all pictures take more than a quarter of them, so that no start is counted; the plain path
scores with two threads, Ray with one in each of two workers.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from startup import ONE_THREAD, picture

COMMAND = [sys.executable, "-m", "countermark", "scan"]
PIXELS = 320 * 427


@dataclass
class Done:
    """One run: pictures, seconds on the clock and of processors, and memory samples (MB, in order)."""

    files: int = 0
    wall: float = 0.0
    cpu: float = 0.0
    memory: list[float] = field(default_factory=list)
    kills: int = 0

    @property
    def flat(self) -> float:
        """Memory of the last quarter over that of the second, by medians."""
        quarter = max(1, len(self.memory) // 4)
        late, early = self.memory[-quarter:], self.memory[quarter : 2 * quarter] or self.memory
        return statistics.median(late) / statistics.median(early)


def make(folder: Path, count: int, originals: int) -> None:
    """JPEGs: originals, then variations of them by mirroring, cutting and quality."""
    from PIL import Image

    folder.mkdir(parents=True)
    kept = [Image.fromarray(picture(number, PIXELS)) for number in range(min(count, originals))]
    for number in range(count):
        image = kept[number % len(kept)]
        turn = number // len(kept)
        if turn % 2:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        cut = turn // 2 % 16
        image = image.crop((cut, cut, image.width, image.height))
        image.save(folder / f"{number:06d}.jpg", quality=75 + number % 20)


def stages(folder: Path, count: int) -> list[tuple[str, float]]:
    """Processor seconds a picture by stage, one thread."""
    from countermark.core.files import sha256_bytes
    from countermark.core.images import read_image
    from countermark.detectors import load_detector
    from countermark.provenance import watermark
    from countermark.provenance.credentials.verification import verify_image
    from countermark.provenance.metadata.reading import read_metadata

    paths = sorted(folder.glob("*.jpg"))[:count]
    model = load_detector()
    data = [path.read_bytes() for path in paths]
    images = [read_image(each) for each in data]
    model.score([images[0].pixels])
    watermark.read(images[0].pixels)
    work = {
        "reading and hashing": lambda n: sha256_bytes(paths[n].read_bytes()),
        "decoding": lambda n: read_image(data[n], reduce=True),
        "credentials": lambda n: verify_image(str(paths[n]), data=data[n]),
        "metadata": lambda n: read_metadata(data[n], "jpeg"),
        "marks as saved": lambda n: watermark.read(images[n].pixels, search=False),
        "marks, searched": lambda n: watermark.read(images[n].pixels, time_budget=2.0),
        "public marks": lambda n: watermark.read_public(images[n].pixels),
        "detector": lambda n: model.score([images[n].pixels]),
    }
    found = []
    for name, one in work.items():
        start = time.process_time()
        for number in range(len(paths)):
            one(number)
        found.append((name, (time.process_time() - start) / len(paths)))
    return found


def scan(
    folder: Path,
    out: Path,
    *options: str,
    kills: tuple[float, ...] = (),
    files: int = 0,
    threads: int = 1,
) -> Done:
    """Scans into rows; kills the process when so many shares of the files have rows, and goes on."""
    done = Done()
    for share in (*kills, None):
        start = time.monotonic()
        process = subprocess.Popen(
            [*COMMAND, str(folder), "--output", f"parquet={out}", "--resume", "--json", *options],
            env={**os.environ, **dict.fromkeys(ONE_THREAD, str(threads))},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        watcher = threading.Thread(target=_sample, args=(process.pid, done.memory), daemon=True)
        watcher.start()
        if share is not None:
            while process.poll() is None and rows(out) < share * files:
                time.sleep(0.2)
            process.send_signal(signal.SIGKILL)
            done.kills += 1
        _, _, usage = os.wait4(process.pid, 0)
        done.cpu += usage.ru_utime + usage.ru_stime
        done.wall += time.monotonic() - start
        watcher.join()
    done.files = rows(out)
    return done


def rows(out: Path) -> int:
    """Rows that are written."""
    import pyarrow.parquet

    return sum(pyarrow.parquet.read_metadata(part).num_rows for part in out.glob("part-*.parquet"))


def once(out: Path, folder: Path) -> bool:
    """Whether every file has exactly one row."""
    import pyarrow.parquet

    if not rows(out):
        return False
    found = Counter(pyarrow.parquet.read_table(out, columns=["path"])["path"].to_pylist())
    wanted = {str(path.resolve()) for path in folder.glob("*.jpg")}
    return set(found) == wanted and set(found.values()) == {1}


def _sample(process: int, into: list[float]) -> None:
    while True:
        try:
            pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
        except (OSError, IndexError, ValueError):
            return
        if not pages:
            return
        into.append(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)
        time.sleep(0.5)


def _kill_a_worker(stop: threading.Event, killed: list[int]) -> None:
    """Kills one of Ray's scanning workers, once it has worked for a while."""
    while not stop.wait(1.0):
        for process in Path("/proc").glob("[0-9]*"):
            try:
                name = (process / "cmdline").read_bytes()
                ticks = (process / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if b"MapWorker" in name and int(ticks[11]) > 800:  # eight processor seconds
                os.kill(int(process.name), signal.SIGKILL)
                killed.append(int(process.name))
                return


def compare(
    folders: dict[int, Path],
    count: int,
    work: Path,
    options: list[str],
    row: Callable[[str, Done, bool], None],
    tell: Callable[[str], None],
) -> None:
    """The plain path and Ray, two workers each, by turns; then a worker of Ray's is killed."""
    ways = {"here, two workers": [], "Ray, two workers": ["--cluster", "local"]}
    wall: dict[str, list[float]] = {name: [] for name in ways}
    for size in (count // 4, count):
        for name, way in ways.items():
            out = work / f"{name}-{size}".replace(" ", "-").replace(",", "")
            done = scan(folders[size], out, "--workers", "2", *options, *way, files=size, threads=2)
            wall[name].append(done.wall)
            done.cpu = float("nan") if way else done.cpu  # Ray's processes are nobody's children
            row(name, done, once(out, folders[size]))
    rates = [(count - count // 4) / (late - early) for early, late in wall.values()]
    tell(
        f"\nWithout the start: {rates[0]:.2f} pictures a second here, {rates[1]:.2f} on Ray, "
        f"{rates[1] / rates[0]:.2f} times as many.\n"
    )
    stop, killed = threading.Event(), []
    threading.Thread(target=_kill_a_worker, args=(stop, killed), daemon=True).start()
    out = work / "killed"
    done = scan(folders[count], out, "--workers", "2", *options, "--cluster", "local", files=count)
    stop.set()
    done.kills, done.cpu = len(killed), float("nan")
    row("Ray, two workers, one killed", done, once(out, folders[count]))


def main() -> None:
    """Runs the benchmark and prints or writes its tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--originals", type=int, default=500)
    parser.add_argument("--ray", type=int, default=200, help="Pictures of the comparison with Ray; 0: none.")
    parser.add_argument("--stages", type=int, default=48)
    parser.add_argument("--options", type=shlex.split, default=[], help="Of every scan.")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    lines: list[str] = []

    def tell(line: str) -> None:
        lines.append(line)
        print(line, flush=True)

    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        folders = {}
        for count in sorted({*options.pictures, options.ray, options.ray // 4} - {0}):
            make(folders.setdefault(count, work / f"pictures-{count}"), count, options.originals)
        if options.stages:
            tell("| stage | CPU ms a picture |\n| --- | --- |")
            for name, seconds in stages(folders[max(folders)], options.stages):
                tell(f"| {name} | {1e3 * seconds:.1f} |")
            tell("")
        tell("| pictures | where | CPU s a picture | a second | MB | late/early | kills | each once |")
        tell("| --- | --- | --- | --- | --- | --- | --- | --- |")

        def row(name: str, done: Done, whole: bool) -> None:
            tell(
                f"| {done.files:,} | {name} | {done.cpu / max(done.files, 1):.3f} "
                f"| {done.files / done.wall:.2f} | {max(done.memory, default=0):.0f} | {done.flat:.2f} "
                f"| {done.kills} | {'yes' if whole else 'NO'} |"
            )

        for count in filter(None, options.pictures):
            out = work / f"rows-{count}"
            kills = (0.2, 0.6) if count == max(options.pictures) else ()
            one = ("--workers", "1", *options.options)
            done = scan(folders[count], out, *one, kills=kills, files=count)
            row("here, one worker", done, once(out, folders[count]))
        if options.ray:
            compare(folders, options.ray, work, options.options, row, tell)
    if options.out:
        options.out.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
