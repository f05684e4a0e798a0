"""Watermark and credential checks on a generator's own samples, or on a pipeline's outputs."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from countermark.app.audit.checks.base import Check, Context, Measured, Slice
from countermark.app.audit.checks.pipeline import SIGNED, census
from countermark.app.audit.checks.towards import (
    DURABLE,
    FOUND_AGAIN,
    INTEROPERABLE,
    RELIABLE,
    SIGNED_METADATA,
    WATERMARKED,
)
from countermark.app.audit.schema import CheckEntry
from countermark.core.images import Pixels, encode_image, read_image, write_image
from countermark.core.perturb import DELIVERIES, perturb, resize_to
from countermark.core.results import Verification, VerificationState
from countermark.core.seeds import rng


class MarkOptions(CheckEntry):
    """Options.

    Attributes:
        max_p: Largest probability of a chance match at which a reading counts: the stated FPR.
        attacks: Deliveries or perturbations that are read after.
        count: Samples that are marked.
        enlarge: Samples are enlarged to this shorter side first; 0 leaves them as made.
    """

    max_p: float = Field(default=1e-6, gt=0, lt=1)
    attacks: tuple[str, ...] = ("native", "q75", "resize:0.5", "crop:0.75")
    count: int = Field(default=40, ge=4, le=10_000)
    enlarge: int = Field(default=256, ge=0, le=4096)


def samples(context: Context, count: int, enlarge: int = 0) -> list[Pixels]:
    """Pictures from the subject, uint8 RGB; made once."""

    def make() -> list[Pixels]:
        library, policy = context.library, context.policy
        generator = library.rooms.load_generator(library.resolve(policy.subject.name))
        return [
            _enlarge(picture, enlarge) for picture in generator.sample(count, seed=policy.statistics.seed)
        ]

    return context.once(("samples", count, enlarge), make)


def _enlarge(picture: Pixels, side: int) -> Pixels:
    short = min(picture.shape[:2])
    if side <= short:
        return picture
    return resize_to(picture, round(picture.shape[1] * side / short), round(picture.shape[0] * side / short))


def _reads(context: Context, picture: Pixels, payload: bytes, max_p: float) -> bool:
    reading = context.library.rooms.read_mark(picture)
    return reading.payload == payload and reading.p_value <= max_p


class MarkRecovery(Check[MarkOptions]):
    id = "generator.mark-recovery"
    title = "Watermarks of generated images are read after handling"
    kinds = ("generator",)
    needs_evidence = False
    formula = "smallest share, over the attacks, of marked samples whose payload is read with p ≤ max_p"
    source = "Clopper & Pearson 1934; Holm 1979 over attacks"
    claims = DURABLE

    def measure(self, entry: MarkOptions, context: Context) -> Measured:
        rooms, seed = context.library.rooms, context.policy.statistics.seed
        marked = []
        for number, picture in enumerate(samples(context, entry.count, entry.enlarge)):
            payload = rng(seed, "payload", number).bytes(8)
            marked.append((rooms.embed_mark(picture, payload), payload))
        slices = []
        for attack in entry.attacks:
            spec = DELIVERIES.get(attack, attack)
            good = [
                _reads(context, perturb(spec, picture, rng(seed, spec, number)), payload, entry.max_p)
                for number, (picture, payload) in enumerate(marked)
            ]
            slices.append(Slice(attack, context.proportion(np.array(good), None)))
        return Measured(slices=tuple(slices), detail={"max_p": entry.max_p})


class MarkFpr(Check[MarkOptions]):
    id = "generator.mark-fpr"
    title = "Unmarked images are not read as marked"
    kinds = ("generator", "pipeline")
    direction = "at-most"
    formula = "share of unmarked images of the evidence with a reading of p ≤ max_p"
    source = "Clopper & Pearson 1934"
    claims = RELIABLE

    def measure(self, entry: MarkOptions, context: Context) -> Measured:
        items = context.library.images(entry.evidence).items
        wrong = []
        for item in items:
            reading = context.library.rooms.read_mark(read_image(item.path).pixels)
            wrong.append(reading.payload is not None and reading.p_value <= entry.max_p)
        return Measured(context.proportion(np.array(wrong), np.array([i.cluster for i in items])))


class SampleOptions(CheckEntry):
    """Options: samples that are made and signed."""

    count: int = Field(default=8, ge=1, le=1000)


class GeneratorSigned(Check[SampleOptions]):
    id = "generator.signed"
    title = "Every generated image leaves with an intact credential that says what it is"
    kinds = ("generator",)
    needs_evidence = False
    default_threshold = 1.0
    formula = "share of signed samples that verify as trusted or intact, source type trainedAlgorithmicMedia"
    source = "C2PA 2.2; IPTC digital source type vocabulary"
    claims = (*SIGNED_METADATA, *INTEROPERABLE)

    def measure(self, entry: SampleOptions, context: Context) -> Measured:
        library = context.library
        folder = library.workspace / "signed-samples"
        rows = []
        for number, picture in enumerate(samples(context, entry.count)):
            source = folder / f"{number:04d}.png"
            signed = folder / f"{number:04d}-signed.png"
            if not signed.exists():
                write_image(source, picture)
                library.rooms.sign(source, signed, library.policy.subject.name)
            found = library.rooms.verify(signed)
            term = (found.digital_source_type or "").rsplit("/", 1)[-1]
            good = found.state in SIGNED and term == "trainedAlgorithmicMedia"
            rows.append((signed.name, good, f"{found.state}, {term or 'no source type'}"))
        return census(context, rows)


class FileMarkOptions(CheckEntry):
    """Options: the stated false-positive rate of a reading."""

    max_p: float = Field(default=1e-6, gt=0, lt=1)


class Marked(Check[FileMarkOptions]):
    id = "pipeline.marked"
    title = "Every file carries a readable watermark"
    kinds = ("pipeline", "generator", "detector")
    default_threshold = 1.0
    formula = "share of files with a payload read at p ≤ max_p"
    source = "the watermark's own null distribution"
    claims = WATERMARKED

    def measure(self, entry: FileMarkOptions, context: Context) -> Measured:
        rows = []
        for item in context.library.images(entry.evidence).items:
            reading = context.library.rooms.read_mark(read_image(item.path).pixels)
            good = reading.payload is not None and reading.p_value <= entry.max_p
            rows.append((item.name, good, f"p = {reading.p_value:.2g}"))
        return census(context, rows)


class HandledOptions(CheckEntry):
    """Options: what happens to a file before its record is looked for."""

    handling: str = "jpeg:85"


class Recoverable(Check[HandledOptions]):
    id = "pipeline.recoverable"
    title = "Stripped credentials are found again after handling"
    kinds = ("pipeline", "generator", "detector")
    default_threshold = 1.0
    formula = "share of files that verify as recovered once re-encoded without their credential"
    source = "C2PA 2.2, durable content credentials: soft binding and manifest repository"
    claims = FOUND_AGAIN

    def measure(self, entry: HandledOptions, context: Context) -> Measured:
        library = context.library
        folder = library.workspace / "handled"
        folder.mkdir(exist_ok=True)
        rows = []
        for number, item in enumerate(library.images(entry.evidence).items):
            generator = rng(context.policy.statistics.seed, entry.handling, item.sha256)
            pixels = perturb(
                DELIVERIES.get(entry.handling, entry.handling), read_image(item.path).pixels, generator
            )
            target = folder / f"{number:06d}.png"
            target.write_bytes(encode_image(pixels, "png"))
            found: Verification = library.rooms.verify(target)
            rows.append((item.name, found.state == VerificationState.RECOVERED, str(found.state)))
            target.unlink()
        return census(context, rows)
