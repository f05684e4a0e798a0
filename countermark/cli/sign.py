"""``countermark sign``: watermark, credential and record for generated images."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from countermark.cli.logs import tell, warn
from countermark.cli.output import ERROR, JSON, PASS, progress, say, show_record
from countermark.cli.records import REPOSITORY, opened
from countermark.cli.secrets import PASSPHRASE_FILE, passphrase_of
from countermark.cli.stopping import stoppable

if TYPE_CHECKING:
    from countermark.provenance.credentials.folders import BatchItem


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("sign")(sign)


def sign(
    source: Path = typer.Argument(..., help="An image or a clip, or a folder of them."),
    destination: Path = typer.Argument(
        ..., help="Where the signed image (or folder) goes; never overwritten."
    ),
    identity: str = typer.Option("default", "--identity", "-i", help="Whose key; see countermark keys."),
    generator: str | None = typer.Option(None, "--generator", help="What made it, such as my-model/1.2."),
    model: str | None = typer.Option(None, "--model", help="Name of the model, such as my-model/1.2."),
    weights: Path | None = typer.Option(None, "--weights", help="The model's weights; their hash is noted."),
    seed: str | None = typer.Option(None, "--seed", help="The image's seed."),
    prompt: str | None = typer.Option(None, "--prompt", help="The prompt; it can be redacted later."),
    source_type: str | None = typer.Option(
        None, "--source-type", help="IPTC digital source type; trainedAlgorithmicMedia for new images."
    ),
    parent: list[Path] = typer.Option([], "--parent", help="An image it was made from."),
    component: list[Path] = typer.Option([], "--component", help="An image that was placed in it."),
    training: str = typer.Option(
        "notAllowed", "--training", help="AI training and mining: allowed, notAllowed, constrained."
    ),
    timestamp_url: str | None = typer.Option(
        None, "--timestamp-url", help="RFC 3161 authority; the one use of the network there is."
    ),
    sidecar: bool = typer.Option(False, "--sidecar", help="Write the credential beside the image (.c2pa)."),
    thumbnail: int = typer.Option(0, "--thumbnail", min=0, max=1024, help="Longest edge; 0 for none."),
    keep_history: bool = typer.Option(
        True, "--keep-history/--forget-history", help="Keep what the image was signed with before."
    ),
    watermark: bool = typer.Option(True, "--watermark/--no-watermark", help="Embed an identifier."),
    record: bool = typer.Option(True, "--record/--no-record", help="Keep it in the manifest repository."),
    repository: str | None = REPOSITORY,
    passphrase_file: Path | None = PASSPHRASE_FILE,
    disclosure: bool = typer.Option(
        False, "--ai-disclosure", help="Add an AI disclosure (C2PA 2.4) that names the model."
    ),
    identity_assertion: str | None = typer.Option(
        None, "--identity-assertion", help="Whose identity vouches for the image besides the signer (CAWG)."
    ),
    allow_loss: bool = typer.Option(
        False, "--allow-loss", help="Mark even what loses frames, bits above 8 or ink colours by it."
    ),
    drop_places: bool = typer.Option(
        False, "--drop-places", help="Take coordinates and names of places out of the metadata."
    ),
    label: bool = typer.Option(
        False, "--label", help="Write into the metadata that it is generated: IPTC source type, AIGC field."
    ),
    label_provider: str = typer.Option(
        "", "--label-provider", help="Provider in the AIGC field, name or code; the generator by default."
    ),
    visible_label: str = typer.Option(
        "", "--visible-label", metavar="TEXT", help="With --label: draw TEXT into the lower left corner."
    ),
    label_font: Path | None = typer.Option(None, "--label-font", help="TrueType font for that text."),
    when: str | None = typer.Option(
        None, "--when", help="When it was made, ISO 8601 with offset, or now; --label says now."
    ),
    crf: int | None = typer.Option(
        None, "--crf", min=0, max=51, help="Of clips: quality of marked frames; 18, lower is better."
    ),
    watch: bool = typer.Option(False, "--watch", help="Go on signing what appears in the folder."),
    workers: int = typer.Option(1, "--workers", min=1, max=64, help="Threads, for folders."),
    as_json: bool = JSON,
) -> int:
    """Sign generated images and clips with Content Credentials and an invisible watermark."""
    from countermark.app.labelling import Label
    from countermark.app.sign import sign as sign_one
    from countermark.core.errors import ConfigError
    from countermark.core.files import sha256_file
    from countermark.provenance.credentials.claims import model_facts
    from countermark.provenance.credentials.ingredients import Ingredient
    from countermark.provenance.identities.store import get_identity

    if (label_provider or visible_label or label_font) and not label:
        raise ConfigError(
            "Options of a label were given without --label.", hint="Add --label.", code="label.options"
        )
    who: Any = identity
    if passphrase_file is not None:
        who = get_identity(identity, passphrase=passphrase_of(None, passphrase_file))
    facts: Any = model
    if weights is not None:
        facts = {**model_facts(model or weights.stem), "sha256": sha256_file(weights)}
    options: dict[str, Any] = {
        "identity": who,
        "generator": generator,
        "model": facts,
        "seed": seed,
        "prompt": prompt,
        "digital_source_type": source_type,
        "parents": (*parent, *(Ingredient(each, "componentOf") for each in component)),
        "training": training,
        "timestamp_url": timestamp_url,
        "sidecar": sidecar,
        "thumbnail": thumbnail,
        "keep_history": keep_history,
        "watermark": watermark,
        "record": record,
        "disclosure": disclosure,
        "identity_assertion": identity_assertion,
        "allow_loss": allow_loss,
        "drop_places": drop_places,
        "crf": crf,
        "label": Label(label_provider, visible=visible_label, font=label_font) if label else False,
        **({"when": when} if when else {}),
    }
    with opened(repository) if repository else nullcontext() as options["repository"]:
        if source.is_dir():
            return _folder(source, destination, options, watch, workers, as_json)
        told: list[str] = []
        with progress("Marking", None, quiet=as_json) as steps:
            signed = sign_one(
                source,
                destination,
                on_note=lambda note: _tell(note, told),
                on_progress=lambda done, total: steps.stage("Seconds marked", round(done), round(total) or 1),
                **options,
            )
    text = [f"Signed {signed.path}", f"  manifest {signed.manifest_id}"]
    if signed.payload:
        text.append(f"  watermark {signed.payload} at {signed.psnr:.1f} dB")
    text += [f"  {note}" for note in signed.notes if note not in told]
    show_record(signed, as_json=as_json, text="\n".join(text))
    _say_who(options["identity"], as_json)
    return ERROR if signed.unrecorded else PASS


def _tell(note: str, told: list[str]) -> None:
    """Says what is lost or left out before the file is written."""
    told.append(note)
    say(note, err=True)


def _say_who(identity: Any, as_json: bool) -> None:
    """That others do not trust a development identity: it looks trusted where it was made."""
    from countermark.provenance.identities.store import get_identity

    who = get_identity(identity) if isinstance(identity, str) else identity
    if who.kind == "development" and not as_json:
        tell(
            f"Signed as {who.name!r}, a development identity that only you trust. One that others trust: "
            "countermark keys request"
        )


def _folder(
    source: Path, destination: Path, options: dict[str, Any], watch: bool, workers: int, as_json: bool
) -> int:
    from countermark.app.clips.sign import signable
    from countermark.app.recording import record_again
    from countermark.app.sign import sign as sign_one
    from countermark.core.images import EXTENSIONS, iter_image_paths
    from countermark.core.video.containers import EXTENSIONS as CLIPS
    from countermark.provenance.credentials.folders import sign_folder, watch_folder
    from countermark.provenance.credentials.signing import ends_soon
    from countermark.provenance.identities.store import get_identity
    from countermark.provenance.repository import shared_repository

    def sign_file(one: Path, target: Path) -> Any:
        return sign_one(one, target, **options)

    def mend(target: Path, facts: Mapping[str, Any]) -> bool:
        return record_again(target, facts, repository=options["repository"])

    who = options["identity"]
    if soon := ends_soon(get_identity(who) if isinstance(who, str) else who):
        warn(soon)
    how: dict[str, Any] = {"sign": sign_file, "mend": mend if options["record"] else None}
    if options["record"] and options["repository"] is None:
        shared_repository()  # one that cannot be opened is said now, not of every file
    clips, reason = signable(watermark=options["watermark"], record=options["record"])
    how["extensions"] = EXTENSIONS | clips
    left_out = {reason: sum(1 for _ in iter_image_paths([source], extensions=CLIPS))} if reason else {}
    good = True
    with stoppable() as stop:
        if watch:
            for item in watch_folder(source, destination, stop=stop.event, **how):
                good = good and not (item.error or item.unrecorded)
                show_record(asdict(item), as_json=as_json, text=_line(item))
            return PASS if good else ERROR
        total = sum(1 for _ in iter_image_paths([source], extensions=how["extensions"]))
        with progress("Signing", total, quiet=as_json) as advance:
            report = sign_folder(
                source,
                destination,
                workers=workers,
                on_item=lambda item: advance(1),
                stop=stop.event,
                **how,
            )
    report.left_out = {why: number for why, number in left_out.items() if number}
    counts = [f"Signed {report.signed}", f"already signed {report.skipped}", f"failed {len(report.failed)}"]
    if report.mended:
        counts.append(f"recorded now {report.mended}")
    if report.unrecorded:
        counts.append(f"not recorded {len(report.unrecorded)}")
    lines = [f"{', '.join(counts)}."]
    lines += [f"  {_line(item)}" for item in (*report.failed, *report.unrecorded)]
    lines += [f"Left out {number} {why}." for why, number in report.left_out.items()]
    if report.unrecorded:
        lines.append("Sign the folder again to make the missing records.")
    if report.stopped:
        lines.append(f"Stopped by {stop.name} after {report.signed + report.skipped} of {total} files.")
    show_record(report, as_json=as_json, text="\n".join(lines))
    if report.signed:
        _say_who(who, as_json)
    if report.stopped:
        return stop.exit_code
    return PASS if report.complete else ERROR


def _line(item: BatchItem) -> str:
    """One file of a folder in a line."""
    if item.error is not None:
        return f"{item.source}: {item.error.message}"
    if item.unrecorded is not None:
        return f"{item.destination}: not recorded: {item.unrecorded.message}"
    return f"{item.destination}: recorded now" if item.mended else item.destination
