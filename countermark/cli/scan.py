"""``countermark scan``: which of these images are synthetic, why, and how sure."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from countermark.app.scan.suppressions import Ignored

from countermark.cli.clips import EVERY, MAX_FRAMES, clip_sampling, clip_settings
from countermark.cli.logs import tell, warn
from countermark.cli.output import (
    FORCE,
    FORMAT,
    JSON,
    NOTHING,
    OUTPUT,
    check_outputs,
    progress,
    show,
    write_all,
    wrong_usage,
)
from countermark.cli.stopping import stoppable


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("scan")(scan)


def scan(
    paths: list[str] = typer.Argument(
        None, help="Images and folders; - reads a list of them, or one image, from standard input."
    ),
    null: bool = typer.Option(
        False, "--null", "-z", help="The list's names end with NUL, as of git diff -z and find -print0."
    ),
    max_fpr: float | None = typer.Option(
        None,
        "--max-fpr",
        help="Share of photographs that may be called synthetic: 0.01, or as in --thresholds.",
    ),
    stress: bool | None = typer.Option(
        None, "--stress/--no-stress", help="Score altered copies too; a flip means unsure."
    ),
    detector: str | None = typer.Option(None, "--detector", "-d", help="A shipped detector, or weights."),
    fail_on: str | None = typer.Option(
        None, "--fail-on", help="Exit 1 from this verdict on: declared-synthetic, likely-synthetic, unsure."
    ),
    on_error: str | None = typer.Option(
        None, "--on-error", help="Files that cannot be read: fail (the default with --fail-on), warn, ignore."
    ),
    baseline: str | None = typer.Option(None, "--baseline", help="Earlier JSON report; those don't count."),
    ignore: str | None = typer.Option(None, "--ignore", help="TOML list of accepted findings, with expiry."),
    thresholds: Path | None = typer.Option(None, "--thresholds", help="File that calibrate wrote."),
    no_marks: bool = typer.Option(False, "--no-marks", help="Don't look for watermarks (faster)."),
    mark_seconds: float = typer.Option(
        2.0, "--mark-seconds", min=0, help="Longest search for a changed watermark in an image; 0: none."
    ),
    second: str | None = typer.Option(
        None, "--second-opinion", help="Another detector, such as one-class; it is listed, never decides."
    ),
    parts: str = typer.Option(
        "auto", "--parts", help="Search for exchanged parts: on, off, or auto: in scans of up to 24 files."
    ),
    mask: Path | None = typer.Option(
        None, "--mask", help="Folder for a mask (PNG) of every picture: where a part does not fit the rest."
    ),
    every: float | None = EVERY,
    max_frames: int | None = MAX_FRAMES,
    faces: str = typer.Option(
        "auto", "--faces", help="Ask whether faces were put in: on, off, or auto: in scans of up to 24 files."
    ),
    heatmaps: bool = typer.Option(True, "--heatmaps/--no-heatmaps", help="In an HTML report."),
    workers: int = typer.Option(
        2, "--workers", min=1, max=4096, help="Threads that read files, or processes of a cluster."
    ),
    file_seconds: float | None = typer.Option(
        None,
        "--file-seconds",
        min=1,
        help="Processor seconds a picture may take (60 in scans of 200 files on), or decoding a clip (900).",
    ),
    file_memory: int | None = typer.Option(
        None,
        "--file-memory",
        min=64,
        help="Megabytes a picture may take (3072 in scans of 200 files on), or decoding a clip (6144).",
    ),
    cache: Path | None = typer.Option(
        None, "--cache", help="Folder of earlier results, by content and detector; such files are only read."
    ),
    cluster: str | None = typer.Option(
        None, "--cluster", help="Scan on Ray: local, auto, or an address. Needs --output parquet=FOLDER."
    ),
    resume: bool = typer.Option(False, "--resume", help="Go on with the rows of --output parquet=FOLDER."),
    retry_failed: bool = typer.Option(
        False, "--retry-failed", help="Scan again only what failed in --output parquet=FOLDER."
    ),
    format: str = FORMAT,
    output: list[str] = OUTPUT,
    force: bool = FORCE,
    as_json: bool = JSON,
) -> int:
    """Scan images and clips for synthetic origin. Nothing leaves this machine."""
    from countermark.app.scan.bulk import bulk_settings, clip_bounds, file_bounds, kept_results
    from countermark.app.scan.faces import face_search
    from countermark.app.scan.judging import named as named_detector
    from countermark.app.scan.parts import part_search
    from countermark.app.scan.run import scan_stream
    from countermark.app.scan.settings import (
        chosen_detector,
        failing,
        scan_config,
        scan_exit_code,
        unreadable,
    )
    from countermark.app.scan.sources import named
    from countermark.app.scan.suppressions import expired, read_baseline, suppressions
    from countermark.app.scan.thumbnails import Collector
    from countermark.cli.scan_rows import rows_folder, scan_rows
    from countermark.detectors.scoring.points import as_records, working_points
    from countermark.reports import scan_document

    options = {
        "max_fpr": max_fpr,
        "stress": stress,
        "detector": detector,
        "thresholds": None if thresholds is None else str(thresholds),
        "fail_on": fail_on,
        "on_error": on_error,
        "baseline": baseline,
        "ignore": ignore,
        "output": tuple(output),
    }
    with wrong_usage():
        config = scan_config(options)
        folder = rows_folder(config.output, cluster=cluster, resume=resume, retry=retry_failed)
        sampling = clip_sampling(every, max_frames)
    memory = None if file_memory is None else file_memory << 20
    if folder is not None:
        reports = {"parts": parts == "on", "mask": mask is not None, "faces": faces == "on"}
        with wrong_usage():
            bulk = bulk_settings(
                config,
                marks=not no_marks,
                mark_seconds=mark_seconds,
                second=second,
                cache=cache,
                sampling=sampling,
                file_seconds=file_seconds,
                file_memory=memory,
                reports={**reports, "format": format != "console"},
            )
        return scan_rows(
            paths or [],
            folder,
            bulk,
            null=null,
            workers=workers,
            cluster=cluster,
            resume=resume,
            retry=retry_failed,
            fail_on=config.fail_on,
            on_error=config.errors,
            as_json=as_json,
        )
    check_outputs("scan", format, as_json, config.output, force=force)
    known = read_baseline(config.baseline) if config.baseline else None
    ignored = _ignored(config.ignore)
    sources = named(paths or [], sys.stdin.buffer, null=null)
    files = sources.files
    for note in sources.notes:
        tell(note)
    if not files:
        warn("No images found.")
        return NOTHING
    with wrong_usage():
        search = part_search(parts, mask, len(files))
        judged = face_search(faces, len(files))
    model, rate = chosen_detector(config)
    # Heatmaps cost as much as the scores: they are made only where a report shows them.
    collector = None
    if any(_is_html(spec) for spec in config.output):
        part_of = search.take if search else lambda path: None
        collector = (
            Collector(model, part_of=part_of)
            if heatmaps
            else Collector(model, max_heatmaps=0, part_of=part_of)
        )
    kept = None
    if cache is not None:
        with wrong_usage():
            kept = kept_results(
                cache,
                model,
                rate,
                stress=config.stress,
                marks=not no_marks,
                mark_seconds=mark_seconds,
                second=second or "",
                parts="off" if search is None else search.mode,
                faces="off" if judged is None else judged.mode,
                frames=asdict(sampling),
            )
    results = []
    with stoppable() as stop, progress("Scanning", len(files), quiet=as_json) as advance:
        advance(0)
        for result in scan_stream(
            files,
            max_fpr=rate,
            stress=config.stress,
            detector=model,
            marks=not no_marks,
            mark_seconds=mark_seconds,
            second=second,
            workers=workers,
            watch=collector,
            clips=clip_settings(
                sampling,
                clip_bounds(file_seconds=file_seconds, file_memory=memory),
                collector,
                advance,
            ),
            parts=search,
            faces=judged,
            cache=kept,
            **file_bounds(len(files), file_seconds=file_seconds, file_memory=memory),
        ):
            results.append(result)
            advance.stage("Scanning", len(results), len(files))
            if stop:
                break
    partial = None
    if stop and len(results) < len(files):
        partial = {"by": stop.name, "looked_at": len(results), "of": len(files)}
    settings = {
        "max_fpr": rate,
        "stress": config.stress,
        "fail_on": config.fail_on,
        "on_error": config.errors,
        "parts": "off" if search is None else search.mode,
        "faces": "off" if judged is None else judged.mode,
        "detector": named_detector(model),
        "working_points": as_records(working_points(model)),
        "left_out": dict(sources.left_out),
        "left_out_files": [{"path": path, "reason": reason} for path, reason in sources.others],
    }
    suppressed = suppressions(results, ignore=ignored, baseline=known)
    for sentence in expired(results, ignored):
        warn(sentence)
    document = scan_document(
        results,
        settings=settings,
        failing=failing(results, config.fail_on),
        suppressed=suppressed,
        unreadable=unreadable(results, config.errors),
        partial=partial,
    )
    show(document, format=format, as_json=as_json)
    if document["counts"]["error"] and config.errors != "ignore":
        warn(f"{document['counts']['error']:,} of {len(results):,} files could not be scanned.")
    write_all(document, config.output, collector.images if collector else None, force=force)
    return scan_exit_code(document) if partial is None else stop.exit_code


def _ignored(path: str) -> list[Ignored]:
    from countermark.app.scan.suppressions import IGNORE_FILE, read_ignore

    if path:
        return read_ignore(path)
    return read_ignore(IGNORE_FILE) if Path(IGNORE_FILE).is_file() else []


def _is_html(spec: str) -> bool:
    return spec.startswith("html=") or spec.lower().endswith((".html", ".htm"))
