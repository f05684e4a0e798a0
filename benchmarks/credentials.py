"""Measures credentials: signing against bare c2pa-python, verifying, memory, mutated files.

    python benchmarks/credentials.py speed
    python benchmarks/credentials.py memory --cycles 10000
    python benchmarks/credentials.py mutate --files 20000
    python benchmarks/credentials.py all --write

``--write`` puts the table between the markers in docs/credentials.md. Times are CPU seconds of
one process, so they are "per core"; the two sides of a comparison run in turns in one process.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import json
import os
import platform
import random
import resource
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MARKERS = ("<!-- measured:begin -->", "<!-- measured:end -->")
REPOSITORY = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=["speed", "memory", "mutate", "all"])
    parser.add_argument("--cycles", type=int, default=10_000)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["COUNTERMARK_HOME"] = home
        results: dict[str, Any] = {"machine": f"{platform.machine()}, Python {platform.python_version()}"}
        if options.part in ("speed", "all"):
            results["speed"] = speed()
        if options.part in ("memory", "all"):
            results["memory"] = memory(options.cycles)
        if options.part in ("mutate", "all"):
            results["mutate"] = mutate(options.files, options.seed)
    print(json.dumps(results, indent=1))
    if options.write:
        write(results)


def picture(side: int = 1000, seed: int = 0) -> Any:
    """A smooth noise picture, uint8 RGB, side x side: about 0.3 MB as JPEG at 1 MP."""
    import numpy as np
    from PIL import Image

    noise = np.random.default_rng(seed).integers(0, 255, (side // 8, side // 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC))


def speed(rounds: int = 9, count: int = 40) -> dict[str, Any]:
    """Images per CPU second: bare library and ours in turns, then verifying."""
    import c2pa

    from countermark.core.images import encode_image
    from countermark.provenance.claims import Claim, definition
    from countermark.provenance.contexts import MIME, context
    from countermark.provenance.identities import authority_pem, get_identity
    from countermark.provenance.signing import sign_bytes, sign_image
    from countermark.provenance.softbinding import SoftBinding
    from countermark.provenance.verification import verify_image

    folder = Path(tempfile.mkdtemp())
    signer = get_identity().native_signer()
    checked = c2pa.Context.from_dict({"builder": {"thumbnail": {"enabled": False}}})
    numbers = iter(range(10**9))
    results: dict[str, Any] = {}
    for format in ("jpeg", "png", "webp"):
        data = encode_image(picture(), format, quality=90)
        source = folder / f"source.{format}"
        source.write_bytes(data)
        manifest, _ = definition(Claim("picture", generator="model/1", seed=1))
        manifest.pop("label")
        mime = MIME[format]

        def bare(manifest: dict[str, Any] = manifest, mime: str = mime, data: bytes = data) -> bytes:
            output = io.BytesIO()
            with c2pa.Builder(manifest, context=context()) as builder:
                builder.sign(signer, mime, io.BytesIO(data), output)
            return output.getvalue()

        def bare_file(source: Path = source, manifest: dict[str, Any] = manifest, used: Any = None) -> None:
            with c2pa.Builder(manifest, context=used or context()) as builder:
                builder.sign_file(source, folder / f"{next(numbers)}{source.suffix}", signer)

        def bare_checked() -> None:
            bare_file(used=checked)

        def ours(data: bytes = data) -> bytes:
            return sign_bytes(data, generator="model/1", seed=1).data

        def bound(data: bytes = data) -> bytes:
            binding = SoftBinding("org.countermark.tile.1", b"12345678")
            return sign_bytes(data, generator="model/1", seed=1, soft_bindings=[binding]).data

        def ours_file(source: Path = source) -> None:
            sign_image(source, folder / f"{next(numbers)}{source.suffix}", generator="model/1", seed=1)

        signed = ours()

        def verify(signed: bytes = signed) -> None:
            if verify_image(signed).state != "trusted":
                raise SystemExit("verification failed")

        def read(signed: bytes = signed, mime: str = mime) -> None:
            trusting = context(authority_pem())
            with c2pa.Reader(mime, io.BytesIO(signed), context=trusting) as reader:
                reader.json()

        jobs: dict[str, Callable[[], object]] = {
            "bare c2pa-python, memory": bare,
            "sign_bytes": ours,
            "sign_bytes with soft binding": bound,
            "bare c2pa-python, files": bare_file,
            "bare c2pa-python, files, its default check after signing": bare_checked,
            "sign_image (files, atomic)": ours_file,
            "bare reader": read,
            "verify_image": verify,
        }
        times: dict[str, list[float]] = {name: [] for name in jobs}
        for _ in range(rounds):
            for name, job in jobs.items():
                times[name].append(cpu_seconds(job, count))
            for path in folder.glob("[0-9]*"):
                path.unlink()
        rates = {name: 1 / statistics.median(each) for name, each in times.items()}
        results[format] = {
            "bytes": len(data),
            "per second": {name: round(rate, 1) for name, rate in rates.items()},
            "memory ratio": round(rates["sign_bytes"] / rates["bare c2pa-python, memory"], 3),
            "file ratio": round(rates["sign_image (files, atomic)"] / rates["bare c2pa-python, files"], 3),
        }
    return results


def cpu_seconds(job: Callable[[], object], count: int) -> float:
    """CPU seconds of one call, over ``count`` calls."""
    start = time.process_time()
    for _ in range(count):
        job()
    return (time.process_time() - start) / count


def memory(cycles: int) -> dict[str, Any]:
    """Resident memory over sign and verify cycles: in tenths of the run."""
    from countermark.core.images import encode_image
    from countermark.provenance.signing import sign_bytes
    from countermark.provenance.softbinding import SoftBinding
    from countermark.provenance.verification import verify_image

    data = encode_image(picture(256), "jpeg")
    bindings = [SoftBinding("org.countermark.tile.1", b"12345678")]
    samples: list[float] = []
    step = max(1, cycles // 10)
    for cycle in range(cycles):
        signed = sign_bytes(data, seed=cycle, soft_bindings=bindings if cycle % 2 else ())
        if verify_image(signed.data).state != "trusted":
            raise SystemExit("verification failed")
        if cycle % step == step - 1:
            gc.collect()
            samples.append(round(resident_mb(), 2))
    half = samples[len(samples) // 2 :]
    return {
        "cycles": cycles,
        "resident MB, each tenth": samples,
        "growth over the second half, MB": round(half[-1] - half[0], 2),
    }


def resident_mb() -> float:
    """Resident memory of this process now, in MB; the peak where /proc is not there."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 1e6
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def forget_peak() -> None:
    """Lets the kernel measure the peak of resident memory anew (Linux)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_mb() -> float:
    """Peak of resident memory since ``forget_peak``, in MB; of the whole run where that is unknown."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1e3
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def mutate(files: int, seed: int) -> dict[str, Any]:
    """Verifies and reads the metadata of mutated signed files; counts what comes out."""
    from countermark.core.errors import CountermarkError
    from countermark.provenance.metadata import read_metadata
    from countermark.provenance.verification import verify_image

    source = random.Random(seed)
    outcomes: Counter[str] = Counter()
    slowest, longest = (0.0, -1), 0.0
    untyped: list[str] = []
    deceived: list[int] = []
    with listener() as (url, connections):
        bases = list(seeds(url))
        for base in bases:
            verify_image(base)
        before, peak = resident_mb(), 0.0
        for number in range(files):
            base = source.choice(bases)
            data = mutated(base, source)
            forget_peak()
            start, cpu = time.perf_counter(), time.process_time()
            try:
                state = str(verify_image(data).state)
                outcomes[state] += 1
            except CountermarkError as error:
                state = error.code
                outcomes[error.code] += 1
            except Exception as error:
                untyped.append(f"{number}: {type(error).__name__}: {error}")
            try:
                read_metadata(data)
            except Exception as error:
                untyped.append(f"{number} metadata: {type(error).__name__}: {error}")
            slowest = max(slowest, (time.process_time() - cpu, number))
            longest = max(longest, time.perf_counter() - start)
            peak = max(peak, peak_mb())
            if state == "trusted" and not same_pixels(base, data):
                deceived.append(number)
    return {
        "files": files,
        "seed": seed,
        "outcomes": dict(outcomes.most_common()),
        "trusted with other pixels": len(deceived),
        "untyped": untyped[:20],
        "untyped count": len(untyped),
        "slowest, CPU s": round(slowest[0], 3),
        "slowest, number": slowest[1],
        "slowest, wall s": round(longest, 3),
        "peak memory above start, MB": round(peak - before, 1),
        "connections": len(connections),
    }


def same_pixels(one: bytes, other: bytes) -> bool:
    """Whether two files show the same picture; a file that cannot be decoded shows no other one."""
    from countermark.core.errors import ImageError
    from countermark.core.images import read_image

    try:
        return bool((read_image(one).pixels == read_image(other).pixels).all())
    except ImageError:
        return True


def seeds(url: str) -> Iterator[bytes]:
    """Signed files of every format, some with history, soft bindings, metadata, or an address."""
    from countermark.core.images import encode_image
    from countermark.provenance.signing import Ingredient, sign_bytes
    from countermark.provenance.softbinding import SoftBinding

    bindings = [SoftBinding("org.countermark.tile.1", b"12345678")]
    for format in ("jpeg", "png", "webp", "avif", "tiff", "gif"):
        data = encode_image(picture(128), format)
        first = sign_bytes(data, prompt="a lighthouse", seed=1, soft_bindings=bindings)
        yield first.data
        yield sign_bytes(first.data, parents=[Ingredient(data, "componentOf")]).data
        yield sign_bytes(data, embed=False, remote_url=url).data if format in ("jpeg", "png") else data


def mutated(base: bytes, source: random.Random) -> bytes:
    """One mutation: flips, cuts, doubled or moved pieces, lengths set to extremes, the address moved."""
    data = bytearray(base)
    kind = source.randrange(8)
    # most damage goes where the structures are, not into the pixels
    span = len(data) if source.random() < 0.3 else min(len(data), 12_000)
    if kind == 0:
        for _ in range(source.choice((1, 1, 2, 8, 64))):
            data[source.randrange(span)] ^= 1 << source.randrange(8)
    elif kind == 1:
        del data[source.randrange(len(data)) :]
    elif kind == 2:
        at, size = source.randrange(span), source.randrange(1, 400)
        del data[at : at + size]
    elif kind == 3:
        at, size = source.randrange(span), source.randrange(1, 400)
        data[at:at] = data[at : at + size]
    elif kind == 4:
        at = source.randrange(max(1, span - 4))
        data[at : at + 4] = source.choice(
            (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\0\0\0\1")
        )
    elif kind == 5:
        at, size = source.randrange(span), source.randrange(1, 200)
        data[at : at + size] = source.randbytes(size)
    elif kind == 6:
        at = data.find(source.choice((b"jumb", b"jumd", b"cbor", b"c2pa", b"c2sh", b"caBX", b"C2PA")))
        if at >= 4:
            data[at - 4 : at] = source.randbytes(4)
    else:
        where = source.choice((b"c2pa.", b"urn:c2pa", b"self#jumbf", b"http"))
        data = bytearray(bytes(data).replace(where, source.randbytes(len(where)), source.randrange(1, 4)))
    return bytes(data)


@contextmanager
def listener() -> Iterator[tuple[str, list[bytes]]]:
    """A loopback server whose address the files carry; it notes every connection."""
    connections: list[bytes] = []
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0.2)
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            try:
                connection, _ = server.accept()
            except TimeoutError:
                continue
            connections.append(b"")
            connection.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/x.c2pa", connections
    finally:
        stop.set()
        thread.join()
        server.close()


def write(results: dict[str, Any]) -> None:
    """Puts the table between the markers of docs/credentials.md."""
    path = REPOSITORY / "docs" / "credentials.md"
    text = path.read_text()
    before, rest = text.split(MARKERS[0], 1)
    after = rest.split(MARKERS[1], 1)[1]
    path.write_text(f"{before}{MARKERS[0]}\n{table(results)}\n{MARKERS[1]}{after}")


def table(results: dict[str, Any]) -> str:
    """The results as Markdown."""
    lines = [f"Measured with `benchmarks/credentials.py all` ({results['machine']})."]
    if "speed" in results:
        names = list(results["speed"])
        lines += [
            "",
            "| 1 MP image, per CPU second | " + " | ".join(names) + " |",
            "|---" * (len(names) + 1) + "|",
        ]
        for job in results["speed"][names[0]]["per second"]:
            cells = [f"{results['speed'][name]['per second'][job]:.0f}" for name in names]
            lines.append(f"| {job} | " + " | ".join(cells) + " |")
        for ratio in ("memory ratio", "file ratio"):
            cells = [f"{results['speed'][name][ratio]:.0%}" for name in names]
            lines.append(f"| ours / bare, {ratio.split()[0]} | " + " | ".join(cells) + " |")
    if "memory" in results:
        found = results["memory"]
        lines += [
            "",
            f"Memory over {found['cycles']:,} sign and verify cycles, resident MB at each tenth: "
            f"{', '.join(map(str, found['resident MB, each tenth']))} "
            f"(second half: {found['growth over the second half, MB']:+} MB).",
        ]
    if "mutate" in results:
        found = results["mutate"]
        outcomes = ", ".join(f"{name} {count:,}" for name, count in found["outcomes"].items())
        lines += [
            "",
            f"{found['files']:,} mutated files (seed {found['seed']}): {outcomes}; untyped errors "
            f"{found['untyped count']}, slowest {found['slowest, CPU s']} s of CPU "
            f"({found['slowest, wall s']} s by the clock on a busy machine), at most "
            f"{found['peak memory above start, MB']} MB of memory above the start, "
            f"{found['connections']} network connections; {found['trusted with other pixels']} of the "
            "trusted ones show other pixels than were signed.",
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
