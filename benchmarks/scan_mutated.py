"""Mutated files of every format, clips among them: does a scan ever end otherwise than with a row?

    python benchmarks/scan_mutated.py --files 20000 --seed 1       # prints the table of docs/scale.md

Seeds are made here: pictures in every format with metadata, credentials, transparency, several frames, and
clips. Each mutated file goes through what a scan does before the detector, in this process, so that what is
not caught is seen: clips through their gate and in their own process. Slowest in processor seconds (children
included), peak of resident memory of this process beyond idle.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import resource
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from credentials_mutated import forget_peak, mutated, peak_mb, resident_mb
from PIL import Image, PngImagePlugin

from countermark.app.scan.gather import gather
from countermark.core.errors import CountermarkError
from countermark.core.images import encode_image

#: Clips, and the containers that hold them.
CLIPS = {"mp4": "mp4", "mov": "mov", "webm": "webm", "mkv": "matroska"}
FORMATS = ("jpeg", "png", "webp", "avif", "tiff", "gif", "bmp")
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/'
    b'newscodes/digitalsourcetype/trainedAlgorithmicMedia" xmp:CreatorTool="Adobe Firefly 3"/></x:xmpmeta>'
)


def picture(side: int, seed: int) -> np.ndarray:
    """Smooth colours and some grain, uint8 RGB."""
    random_ = np.random.default_rng(seed)
    coarse = Image.fromarray(random_.integers(0, 256, (6, 8, 3)).astype(np.uint8))
    smooth = np.asarray(coarse.resize((side * 4 // 3, side), Image.Resampling.BICUBIC), np.int16)
    return np.clip(smooth + random_.normal(0, 4, smooth.shape), 0, 255).astype(np.uint8)


def seeds() -> dict[str, bytes]:
    """Whole files by a name: every format, and what makes parsers work."""
    from countermark.provenance.credentials.signing import sign_bytes

    found = {format: encode_image(picture(160, n), format) for n, format in enumerate(FORMATS)}
    found |= {f"signed {format}": sign_bytes(found[format]).data for format in FORMATS if format != "bmp"}
    frames = [Image.fromarray(picture(96, n)) for n in range(4)]
    for format in ("GIF", "WEBP", "PNG", "TIFF", "AVIF"):
        found[f"several {format.lower()}"] = _saved(
            frames[0], format, save_all=True, append_images=frames[1:]
        )
    exif = Image.Exif()
    exif[0x010F], exif[0x0112], exif[0x010E] = "Maker", 6, "Steps: 20, Sampler: Euler a, Seed: 7"
    exif.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0words"
    whole = Image.fromarray(picture(160, 50))
    for format in ("JPEG", "WEBP", "AVIF", "TIFF"):
        more = {} if format == "TIFF" else {"xmp": XMP}
        found[f"described {format.lower()}"] = _saved(whole, format, exif=exif, **more)
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt("XML:com.adobe.xmp", XMP.decode(), zip=True)
    texts.add_text("parameters", "a cat\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1", zip=True)
    clear = Image.fromarray(np.dstack([picture(160, 51), np.full((160, 213), 200, np.uint8)]))
    found["described png"] = _saved(clear, "PNG", pnginfo=texts, exif=exif)
    found["progressive jpeg"] = _saved(whole, "JPEG", progressive=True)
    found["cmyk jpeg"] = _saved(whole.convert("CMYK"), "JPEG")
    found["sixteen bit png"] = _saved(Image.fromarray(picture(96, 52)[..., 0].astype(np.uint16) * 257), "PNG")
    found["packed tiff"] = _saved(whole, "TIFF", compression="tiff_lzw")
    try:
        from pillow_heif import from_pillow

        stream = io.BytesIO()
        from_pillow(whole).save(stream, quality=80)
        found["heif"] = stream.getvalue()
    except Exception as error:  # a build without an encoder
        print(f"No HEIC: {error}", file=sys.stderr)
    return found | clips()


def clips() -> dict[str, bytes]:
    """Half a second in every container that is read; none without PyAV."""
    try:
        import av
    except ImportError:
        return {}
    found = {}
    for name, container in CLIPS.items():
        stream = io.BytesIO()
        try:
            with av.open(stream, "w", format=container) as out:
                track = out.add_stream("libvpx" if name == "webm" else "libx264", rate=12)
                track.width, track.height, track.pix_fmt = 128, 96, "yuv420p"
                for number in range(6):
                    frame = av.VideoFrame.from_ndarray(picture(96, number)[:, :128].copy(), format="rgb24")
                    for packet in track.encode(frame):
                        out.mux(packet)
                for packet in track.encode():
                    out.mux(packet)
        except Exception as error:  # a build without this encoder
            print(f"No {name}: {error}", file=sys.stderr)
            continue
        found[name] = stream.getvalue()
    return found


def run(files: int, seed: int, mark_seconds: float, scan_clips: bool, minutes: float) -> dict[str, Any]:
    """Scans mutated files; counts what comes out."""
    source = random.Random(seed)
    whole = seeds()
    names = [name for name in whole if scan_clips or name not in CLIPS]
    outcomes: Counter[str] = Counter()
    formats: Counter[str] = Counter()
    uncaught: list[str] = []
    slowest: tuple[float, str] = (0.0, "")
    for name in names:  # libraries are loaded, caches filled
        _one(whole[name], name, mark_seconds)
    idle, peak = resident_mb(), 0.0
    start = time.monotonic()
    for number in range(files):
        if time.monotonic() - start > 60 * minutes:
            break
        name = names[number % len(names)]
        data = mutated(whole[name], source)
        forget_peak()
        before = _cpu()
        try:
            outcomes[_one(data, name, mark_seconds)] += 1
        except CountermarkError as error:
            outcomes[error.code] += 1
        except Exception as error:
            uncaught.append(f"{number} ({name}): {type(error).__name__}: {error}")
        formats[name] += 1
        slowest = max(slowest, (_cpu() - before, f"{number}: {name}"))
        peak = max(peak, peak_mb() - idle)
        if number % 1000 == 999:
            print(
                number + 1, dict(outcomes.most_common(3)), slowest, round(peak), file=sys.stderr, flush=True
            )
    return {
        "files": formats.total(),
        "seed": seed,
        "kinds of files": len(formats),
        "uncaught": len(uncaught),
        "first uncaught": uncaught[:10],
        "outcomes": dict(outcomes.most_common()),
        "slowest, CPU s": round(slowest[0], 3),
        "slowest": slowest[1],
        "idle MB": round(idle),
        "peak beyond idle, MB": round(peak),
        "seconds": round(time.monotonic() - start),
    }


def _one(data: bytes, name: str, mark_seconds: float) -> str:
    if name in CLIPS:
        return _clip(data, name)
    gather(f"file.{name}", data=data, mark_seconds=mark_seconds)
    return "read"


def _clip(data: bytes, name: str) -> str:
    from countermark.app.scan.run import scan

    with TemporaryDirectory() as folder:
        path = Path(folder, f"clip.{name}")
        path.write_bytes(data)
        (result,) = scan(path, detector=_Detector(), marks=False, recover=False)
    return "read" if result.error is None else result.error.code


class _Detector:
    """Scores nothing: the gate is what is looked at."""

    name = "none"
    card = None

    def score(self, images: Any) -> np.ndarray:
        return np.full(len(images), 0.1)

    logits = score

    def thresholds(self, max_fpr: float = 0.01) -> Any:
        return type("Bounds", (), {"likely": 0.5, "unsure": 0.3, "note": ""})()


def _saved(image: Image.Image, format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def _cpu() -> float:
    own, other = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + other.ru_utime + other.ru_stime


def main() -> None:
    """Runs the benchmark and prints its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mark-seconds", type=float, default=0.0)
    parser.add_argument("--minutes", type=float, default=600, help="End after so many, with what was done.")
    parser.add_argument("--no-clips", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    clips = not options.no_clips
    found = run(options.files, options.seed, options.mark_seconds, clips, options.minutes)
    text = json.dumps(found, indent=2)
    print(text)
    if options.out:
        options.out.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
