"""Demo: the whole loop on this machine, without a network.

Generate with a shipped GAN → watermark and sign → launder copies → scan them beside photographs, beside
photographs of which a part was made anew, and beside generated pictures that nothing declares → verify →
audit against a sample policy → ``report.html`` and ``demo.json``.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from countermark.app.clips.scan import ClipSettings
from countermark.app.laundering import launder
from countermark.app.scan.parts import PartSearch
from countermark.core.corpus import Corpus, CorpusRow, write_metadata
from countermark.core.errors import CountermarkError, OutputError
from countermark.core.files import atomic_write, sha256_file
from countermark.core.images import encode_image, iter_image_paths, read_image
from countermark.core.results import Verification
from countermark.core.video.sampling import Sampling
from countermark.core.video.writer import ClipWriter

LOG = logging.getLogger(__name__)

STEPS = ("generate", "sign", "launder", "clip", "photographs", "edit", "scan", "verify", "audit", "report")
MADE = 8
#: Pictures, by generator and first seed, that are scanned without credential, mark, metadata and record: the
#: detector stands alone with them. It is sure of some, and unsure of others.
UNMARKED = (("flowers-128", 206, 2), ("clothing-256", 3, 1))
LAUNDERED = 2
MAX_PHOTOS = 12
MAX_HEATMAPS = 2
TARGET_SIDE = 512
#: What is scanned, below the demo's folder.
FOLDERS = ("photographs", "signed", "laundered", "unmarked", "clips", "edited")
#: Parts of the photographs that are made anew, each x, y, width and height in pixels.
REMOVED, REDRAWN = (470, 250, 150, 130), (226, 123, 184, 182)
#: Frames of each clip that are looked at.
CLIP_FRAMES = 4


@dataclass(frozen=True)
class DemoResult:
    """What the demo did: a record for machines, a text for people."""

    folder: Path
    record: dict[str, Any]
    text: str
    passed: bool


def run_demo(
    out: Path | str,
    *,
    photos: Path | str | None = None,
    generator: str = "flowers-128",
    seed: int = 0,
    step: Callable[[str], None] = lambda name: None,
) -> DemoResult:
    """Runs the demo into the new folder ``out``.

    Args:
        photos: A folder of your own photographs; at most 12 are scanned along.
        generator: Which shipped generator draws.
        seed: Of the first generated image.
        step: Called with the name of each step when it is done.

    Raises:
        OutputError: ``output.exists`` when ``out`` is there and not empty.
    """
    from countermark.app.audit import audit_with_images, starter
    from countermark.app.scan.run import scan_stream
    from countermark.app.scan.thumbnails import Collector
    from countermark.app.verify import verify
    from countermark.detectors import load_detector
    from countermark.detectors.scoring.points import as_records, working_points
    from countermark.provenance.repository import open_repository
    from countermark.reports import scan_document

    root, started = Path(out), time.perf_counter()

    def step_done(name: str) -> None:
        LOG.info("%s: done after %.1f s", name, time.perf_counter() - started)
        step(name)

    if root.exists() and any(root.iterdir()):
        raise OutputError(
            f"{root} is not empty.", code="output.exists", hint="Choose another folder with --out."
        )
    root.mkdir(parents=True, exist_ok=True)
    with open_repository(f"sqlite:///{root / 'manifests.db'}") as repository:
        made = _generate(root / "generated", generator, seed)
        step_done("generate")
        signed = _sign(made, root / "signed", repository)
        step_done("sign")
        _unmarked(root / "unmarked")
        copies = [copy for path in signed[:LAUNDERED] for copy in launder(path, root / "laundered")]
        step_done("launder")
        clips = _clips(made, root / "clips", repository)
        step_done("clip")
        real = _photographs(root / "photographs", photos)
        step_done("photographs")
        _edited(root / "edited", root / "photographs")
        step_done("edit")
        detector = load_detector()
        parts = PartSearch("on", root / "masks")
        collector = Collector(detector, max_heatmaps=MAX_HEATMAPS, part_of=parts.take)
        folders = [root / name for name in FOLDERS if name != "edited"]
        shown = ClipSettings(Sampling(CLIP_FRAMES, scenes=0.0), faces=False, on_strongest=collector.frame)
        results = list(
            scan_stream(folders, detector=detector, watch=collector, repository=repository, clips=shown)
        )
        # The search costs as much as the rest of a scan: here it is asked where something is to be found.
        results += scan_stream(
            [root / "edited"], detector=detector, watch=collector, repository=repository, parts=parts
        )
        step_done("scan")
        checked = [verify(path, repository=repository) for path in [*signed, *copies, *clips]]
        step_done("verify")
        corpus = _corpus(root / "corpus", made, real)
        policy = atomic_write(root / "policy.toml", starter("demo"))
        evidence = {"corpus": corpus.root, "signed": root / "signed"}
        report, worst = audit_with_images(policy, evidence=evidence)
        step_done("audit")
    settings = {
        "max_fpr": 0.01,
        "stress": False,
        "fail_on": "never",
        "detector": "default",
        "working_points": as_records(working_points(detector)),
    }
    scanned = scan_document(results, settings=settings)
    record = _report(root, scanned, checked, report, {**collector.images, **worst}, started)
    step_done("report")
    return DemoResult(root, record, _text(root, record, checked), report.exit_code in (0, 1))


def _generate(folder: Path, generator: str, seed: int, count: int = MADE) -> Corpus:
    from countermark.app.generate import generate
    from countermark.generators import load_generator

    size = load_generator(generator).size
    return generate(generator, count, out=folder, seed=seed, scale=max(1, TARGET_SIDE // size))


def _clips(made: Corpus, folder: Path, repository: Any) -> list[Path]:
    """A clip of three seconds from generated pictures, signed, and a smaller copy without its credential.

    Without PyAV (the extra ``video``) there is none, and the demo says so.
    """
    from countermark.app.clips.drawing import draw_clip
    from countermark.app.sign import sign
    from countermark.core.video.reader import open_clip

    folder.mkdir()
    if find_spec("av") is None:
        LOG.info("No clip: it takes pip install 'countermark[video]'")
        return []
    with tempfile.TemporaryDirectory() as place:
        drawn = draw_clip([read_image(path).pixels for path, _ in list(made)[:3]], Path(place, "clip.mp4"))
        signed = sign(drawn, folder / "signed.mp4", generator="countermark/demo", repository=repository)
    with open_clip(signed.path, Sampling(whole=True)) as clip:
        facts = replace(clip.facts, audio=())
        with ClipWriter(folder / "copied.mp4", None, facts, crf=28) as writer:
            for frame in clip:
                writer.add(frame)
    return [Path(signed.path), folder / "copied.mp4"]


def _sign(made: Corpus, folder: Path, repository: Any) -> list[Path]:
    from countermark.app.sign import sign

    paths = []
    for path, row in made:
        signed = sign(
            path,
            folder / path.name,
            generator=f"countermark/{row.generator}",
            model=f"{row.generator}@{row.extra.get('weights_sha256', '')[:12]}",
            seed=row.seed,
            repository=repository,
        )
        paths.append(Path(signed.path))
    return paths


def _unmarked(folder: Path) -> None:
    """Generated pictures that were never signed and hold nothing but their pixels."""
    for name, seed, count in UNMARKED:
        with tempfile.TemporaryDirectory(dir=folder.parent) as drawn:
            for path in _generate(Path(drawn, name), name, seed, count).paths:
                atomic_write(folder / path.name, encode_image(read_image(path).pixels, "png"))


def _photographs(folder: Path, own: Path | str | None) -> list[tuple[Path, str]]:
    """Two photographs that come with scikit-learn, as they are and in parts, and the user's own."""
    from sklearn.datasets import load_sample_images

    found = []
    sample = load_sample_images()
    for name, pixels in zip(sample.filenames, sample.images, strict=True):
        stem = Path(name).stem
        height, width = pixels.shape[:2]
        parts = {stem: pixels}
        for number in range(4):
            top, left = (number // 2) * (height // 2), (number % 2) * (width // 2)
            parts[f"{stem}-part{number + 1}"] = pixels[top : top + height // 2, left : left + width // 2]
        for part, values in parts.items():
            path = atomic_write(folder / f"{part}.jpg", encode_image(values, "jpeg", quality=92))
            found.append((path, stem))
    for path in list(iter_image_paths([own]))[:MAX_PHOTOS] if own is not None else []:
        try:
            image = read_image(path)
        except CountermarkError:
            continue
        copy = folder / f"own-{image.sha256[:8]}{path.suffix.lower()}"
        if not copy.exists():
            found.append((atomic_write(copy, image.data), "own"))
    return found


def _edited(folder: Path, photographs: Path) -> None:
    """A photograph from which a thing was taken, and one of which a part was drawn anew; both as PNG."""
    from countermark.app.painting import filled, redrawn

    for name, source, paint, box in (
        ("removed", "china", filled, REMOVED),
        ("redrawn", "flower", redrawn, REDRAWN),
    ):
        picture, _ = paint(read_image(photographs / f"{source}.jpg").pixels, box)
        atomic_write(folder / f"{name}.png", encode_image(picture, "png"))


def _corpus(folder: Path, made: Corpus, real: list[tuple[Path, str]]) -> Corpus:
    """Generated images (unmarked) and photographs side by side, labelled, for the audit."""
    rows = []
    for path, row in made:
        atomic_write(folder / "synthetic" / path.name, path.read_bytes())
        rows.append(
            CorpusRow(
                f"synthetic/{path.name}", "synthetic", row.generator, "countermark", "", row.seed, row.sha256
            )
        )
    for path, source in real:
        atomic_write(folder / "real" / path.name, path.read_bytes())
        rows.append(CorpusRow(f"real/{path.name}", "real", "", source, sha256=sha256_file(path)))
    return write_metadata(folder, rows)


def _report(
    root: Path,
    scanned: dict[str, Any],
    checked: list[Verification],
    report: Any,
    images: dict[str, Any],
    started: float,
) -> dict[str, Any]:
    import json

    from countermark.app.pictures import history_pictures
    from countermark.reports import audit_document, verify_document, write_report

    for each in checked:
        images |= history_pictures(each)
    verified = verify_document(checked)
    audited = audit_document(report)
    write_report(scanned, f"html={root / 'report.html'}", images=images)
    write_report(verified, f"html={root / 'verification.html'}", images=images)
    write_report(audited, f"html={root / 'audit.html'}", images=images)
    record = {
        "schema": "countermark.demo/1",
        "seconds": round(time.perf_counter() - started, 1),
        "scan": scanned,
        "verify": verified,
        "audit": audited,
    }
    atomic_write(root / "demo.json", json.dumps(record, indent=2, sort_keys=True) + "\n")
    return record


def _parts_found(record: dict[str, Any]) -> int:
    """Pictures of the scan in which a part stands out."""
    return sum(
        any(each["kind"] == "region" and each["detail"].get("found") for each in row["evidence"])
        for row in record["scan"]["results"]
    )


def _text(root: Path, record: dict[str, Any], checked: list[Verification]) -> str:
    lines = [f"Countermark demo in {root} ({record['seconds']:.0f} s, nothing left this machine)", ""]
    for folder in FOLDERS:
        verdicts = Counter(
            row["verdict"] or "error"
            for row in record["scan"]["results"]
            if Path(row["path"]).parent.name == folder
        )
        said = ", ".join(f"{n} {v}" for v, n in sorted(verdicts.items()))
        if not said:
            continue
        alone = "  (generated, nothing declares it)" if folder == "unmarked" else ""
        if folder == "edited":
            alone = f"  ({_parts_found(record)} with a part that does not fit the rest; see masks/)"
        lines.append(f"  scan    {folder:12} {said}{alone}")
    for result in checked[MADE - 1 :]:
        lines.append(f"  verify  {Path(result.path).name:40} {result.state}")
    for check in record["audit"]["checks"]:
        lines.append(f"  audit   {check['id']:40} {check['outcome']}")
    lines += [
        "",
        f"Open {root / 'report.html'} (and verification.html, audit.html); all of it is in demo.json",
    ]
    return "\n".join(lines)
