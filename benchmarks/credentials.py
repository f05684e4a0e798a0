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
import functools
import gc
import io
import json
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHECKED = "bare c2pa-python, files, its default check after signing"
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
            from credentials_mutated import mutate

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

    import countermark
    from countermark.core.images import encode_image
    from countermark.provenance.credentials.claims import Claim, definition
    from countermark.provenance.credentials.contexts import MIME, context
    from countermark.provenance.credentials.signing import sign_bytes, sign_image
    from countermark.provenance.credentials.softbinding import SoftBinding
    from countermark.provenance.credentials.verification import verify_image
    from countermark.provenance.identities.authority import authority_pem
    from countermark.provenance.identities.store import get_identity

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

        def verify(signed: bytes = signed, digest: bool = False) -> None:
            if verify_image(signed, digest=digest).state != "trusted":
                raise SystemExit("verification failed")

        lasting = folder / f"signed.{format}"
        lasting.write_bytes(signed)

        def verify_file(path: Path = lasting) -> None:
            if countermark.verify(path).state != "trusted":
                raise SystemExit("verification failed")

        def read(signed: bytes = signed, mime: str = mime) -> None:
            trusting = context(authority_pem())
            with c2pa.Reader(mime, io.BytesIO(signed), context=trusting) as reader:
                reader.json()

        def plain(source: Path = source) -> None:
            target = folder / f"{next(numbers)}{source.suffix}"
            countermark.sign(source, target, generator="model/1", seed=1, watermark=False, record=False)

        def marked(source: Path = source, record: bool = False) -> None:
            target = folder / f"{next(numbers)}{source.suffix}"
            if countermark.sign(source, target, generator="model/1", seed=1, record=record).payload is None:
                raise SystemExit("no mark")

        jobs: dict[str, Callable[[], object]] = {
            "bare c2pa-python, memory": bare,
            "sign_bytes": ours,
            "sign_bytes with soft binding": bound,
            "bare c2pa-python, files": bare_file,
            CHECKED: bare_checked,
            "sign_image (files, atomic)": ours_file,
            "countermark.sign without watermark and record": plain,
            "bare reader": read,
            "verify_image, memory": verify,
            "verify_image, memory, with the file's digest": functools.partial(verify, digest=True),
            "countermark.verify, files": verify_file,
        }
        times: dict[str, list[float]] = {name: [] for name in jobs}
        order = random.Random(0)
        for _ in range(rounds):
            # In another order each time, and nothing of one job's files left for the next: memory for
            # new files gets slower to come by the more there are.
            for name, job in order.sample(sorted(jobs.items()), len(jobs)):
                times[name].append(cpu_seconds(job, count))
                for path in folder.glob("[0-9]*"):
                    path.unlink()
        slow: dict[str, Callable[[], object]] = {
            "countermark.sign with watermark": marked,
            "countermark.sign with watermark and record": functools.partial(marked, record=True),
        }
        for name, job in slow.items():
            job()
            times[name] = [cpu_seconds(job, 1) for _ in range(rounds)]
            for path in folder.glob("[0-9]*"):
                path.unlink()
        rates = {name: 1 / statistics.median(each) for name, each in times.items()}
        results[format] = {
            "bytes": len(data),
            "per second": {name: round(rate, 1) for name, rate in rates.items()},
            "memory ratio": ratio(times, "sign_bytes", "bare c2pa-python, memory"),
            "file ratio": ratio(times, "sign_image (files, atomic)", "bare c2pa-python, files"),
            "checked file ratio": ratio(times, "sign_image (files, atomic)", CHECKED),
        }
    return results


def ratio(times: dict[str, list[float]], ours: str, bare: str) -> float:
    """Our rate over the bare one's: the median over rounds, since a busy machine slows both."""
    pairs = zip(times[bare], times[ours], strict=True)
    return round(statistics.median(theirs / own for theirs, own in pairs), 3)


def cpu_seconds(job: Callable[[], object], count: int) -> float:
    """CPU seconds of one call, over ``count`` calls."""
    start = time.process_time()
    for _ in range(count):
        job()
    return (time.process_time() - start) / count


def memory(cycles: int) -> dict[str, Any]:
    """Resident memory over sign and verify cycles: in tenths of the run."""
    from credentials_mutated import resident_mb

    from countermark.core.images import encode_image
    from countermark.provenance.credentials.signing import sign_bytes
    from countermark.provenance.credentials.softbinding import SoftBinding
    from countermark.provenance.credentials.verification import verify_image

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
        for ratio in ("memory ratio", "file ratio", "checked file ratio"):
            cells = [f"{results['speed'][name][ratio]:.0%}" for name in names]
            lines.append(f"| ours / bare, {ratio.removesuffix(' ratio')} | " + " | ".join(cells) + " |")
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
            f"{found['peak resident MB']} MB of memory ({found['resident MB at the start']} MB before), "
            f"{found['connections']} network connections; {found['trusted with other pixels']} of the "
            "trusted ones show other pixels than were signed.",
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
