"""Pipeline checks: what actually lies in an output folder, file by file."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from countermark.app.audit.checks.base import Check, Context, Entry, Measured
from countermark.app.audit.checks.towards import INTEROPERABLE, SIGNED_METADATA
from countermark.app.audit.schema import CheckEntry
from countermark.core.errors import CountermarkError
from countermark.core.images import read_image
from countermark.core.results import Outcome, Verification, VerificationState

#: States that leave a credential in the file.
SIGNED = (VerificationState.TRUSTED, VerificationState.INTACT)


def verifications(context: Context, evidence: str) -> list[tuple[str, Verification]]:
    """Every file of the evidence with its verification, in the folder's order; done once."""
    library = context.library
    return context.once(
        ("verifications", evidence),
        lambda: [(item.name, library.rooms.verify(item.path)) for item in library.images(evidence).items],
    )


class FileCheck(Check[Entry]):
    """A property that every file of an output folder has or has not."""

    kinds = ("pipeline", "generator", "detector")
    default_threshold = 1.0

    def holds(self, found: Verification, entry: Entry) -> bool:
        raise TypeError(f"{self.id} does not look at verifications.")

    def measure(self, entry: Entry, context: Context) -> Measured:
        found = verifications(context, entry.evidence)
        return census(context, [(name, self.holds(v, entry), _why(v)) for name, v in found])


def census(context: Context, rows: list[tuple[str, bool, str]]) -> Measured:
    """Counts a whole folder: nothing is sampled, so the figure has no interval but itself."""
    if not rows:
        return Measured(outcome=Outcome.SKIPPED, sentence="There is no file to look at.")
    good = np.array([ok for _, ok, _ in rows])
    missing = [{"file": name, "why": why} for name, ok, why in rows if not ok]
    detail = {"files": len(rows), "failing": len(missing), "first": missing[:20]}
    sentence = f"{int(good.sum())} of {len(rows)} files."
    if missing:
        sentence += f" First without: {missing[0]['file']} ({missing[0]['why']})."
    return Measured(context.exact(float(good.mean()), len(rows)), sentence=sentence, detail=detail)


def _why(found: Verification) -> str:
    code = found.problems[0].code if found.problems else ""
    return f"{found.state}{', ' + code if code else ''}"


class Signed(FileCheck[CheckEntry]):
    id = "pipeline.signed"
    title = "Every file carries an intact credential"
    formula = "share of files whose verification state is trusted or intact"
    source = "C2PA 2.2, validation states"
    claims = SIGNED_METADATA

    def holds(self, found: Verification, entry: CheckEntry) -> bool:
        return found.state in SIGNED


class Trusted(FileCheck[CheckEntry]):
    id = "pipeline.trusted"
    title = "Every file is signed by someone on the trust list"
    formula = "share of files whose verification state is trusted"
    source = "C2PA 2.2, trust model"
    claims = SIGNED_METADATA

    def holds(self, found: Verification, entry: CheckEntry) -> bool:
        return found.state == VerificationState.TRUSTED


class SourceTypes(CheckEntry):
    """Options: IPTC digital source types that count."""

    allowed: tuple[str, ...] = ("trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia")


class SourceType(FileCheck[SourceTypes]):
    id = "pipeline.source-type"
    title = "Every credential says that the image is synthetic"
    formula = "share of files whose active manifest has an allowed digitalSourceType"
    source = "IPTC digital source type vocabulary; C2PA 2.2, c2pa.actions"
    claims = (*SIGNED_METADATA, *INTEROPERABLE)

    def holds(self, found: Verification, entry: SourceTypes) -> bool:
        term = (found.digital_source_type or "").rstrip("/").rsplit("/", 1)[-1]
        return found.state in SIGNED and term in entry.allowed


class Stamps(CheckEntry):
    """Options: whether the time-stamp's authority has to be on the trust list."""

    trusted: bool = False


class Timestamped(FileCheck[Stamps]):
    id = "pipeline.timestamped"
    title = "Every credential has a time-stamp, so that it outlives its certificate"
    formula = "share of files whose active manifest has a valid RFC 3161 time-stamp"
    source = "C2PA 2.4, time-stamps; EU code of practice on the transparency of AI-generated content, 1.1.1"
    claims = ("eu-code/1.1.1",)

    def holds(self, found: Verification, entry: Stamps) -> bool:
        stamp = found.chain[0].time_stamp if found.chain else ""
        return found.state in SIGNED and (stamp == "trusted" if entry.trusted else bool(stamp))


class Conformant(Check[CheckEntry]):
    id = "pipeline.conformant"
    title = "Every credential passes the rubric of the C2PA conformance programme"
    kinds = ("pipeline", "generator", "detector")
    default_threshold = 1.0
    formula = "share of files for which all rules of the rubric hold"
    source = "C2PA Asset Conformance 0.2 Spec 2.4 Rubric 1.0 (6 August 2026)"
    claims = INTEROPERABLE

    def measure(self, entry: CheckEntry, context: Context) -> Measured:
        from countermark.provenance.credentials.rubric import examine_rubric

        rows = []
        for item in context.library.images(entry.evidence).items:
            try:
                missed = [each.id for each in examine_rubric(item.path) if not each.passed]
                rows.append((item.name, not missed, ", ".join(missed)))
            except CountermarkError as error:
                rows.append((item.name, False, error.code))
        return census(context, rows)


class Everything(CheckEntry):
    """Options: how many files are looked at least."""

    least: int = Field(default=1, ge=1)


class Readable(Check[Everything]):
    id = "pipeline.readable"
    title = "Every file is an image that can be read, and there are enough of them"
    kinds = ("pipeline", "generator", "detector")
    default_threshold = 1.0
    formula = "share of files of the folder that pass the image gate"
    source = "Countermark's image gate"

    def measure(self, entry: Everything, context: Context) -> Measured:
        images = context.library.images(entry.evidence)
        rows = [(skipped["file"], False, skipped["code"]) for skipped in images.skipped]
        for item in images.items:
            try:
                read_image(item.path)
                rows.append((item.name, True, ""))
            except CountermarkError as error:
                rows.append((item.name, False, error.code))
        measured = census(context, rows)
        if len(rows) < entry.least:
            short = f"{len(rows)} files are fewer than the {entry.least} that the policy asks for."
            return Measured(measured.estimate, short=short, detail=measured.detail)
        return measured
