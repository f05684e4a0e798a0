"""Weights checks: format, checksum, card, licence. Files are looked at, never executed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from pydantic import Field

from countermark.app.audit.checks.base import Check, Context, Entry, Measured
from countermark.app.audit.schema import CheckEntry
from countermark.core.errors import WeightsError
from countermark.core.results import Outcome
from countermark.core.weights import UNSAFE_SUFFIXES, WeightsCard, read_card

SUPPLY = ("supply-chain/weights",)
MAX_HEADER_BYTES = 100 * 1024 * 1024
#: First bytes of files that run code when they are opened: pickle protocols 2-5, and zip (torch.save).
_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04")


def weights_path(context: Context) -> Path:
    """The subject's weights file: the path in the policy, or the shipped file of that name."""
    subject, library = context.policy.subject, context.library
    resolved = Path(library.resolve(subject.name))
    if resolved.suffix or "/" in subject.name:
        return resolved
    return library.rooms.weights_folder(subject.kind) / f"{subject.name}.safetensors"


def weight_files(context: Context) -> list[Path]:
    """The weights' file, or the parts that the card names where it is stored in parts."""
    path = weights_path(context)
    if not path.is_file() and path.with_name(f"{path.stem}.card.json").is_file():
        return [path.with_name(name) for name in read_card(path).shards] or [path]
    return [path]


def subject_card(context: Context) -> WeightsCard:
    """The subject's card."""
    return read_card(weights_path(context))


class WeightsCheck(Check[Entry]):
    """A property that the weights have or have not."""

    kinds = ("detector", "generator")
    needs_evidence = False
    default_threshold = 1.0
    claims = SUPPLY

    def problems(self, entry: Entry, context: Context) -> list[str]:
        """Sentences; none means that the property holds."""
        raise TypeError(f"{self.id} looks at nothing.")

    def measure(self, entry: Entry, context: Context) -> Measured:
        found = self.problems(entry, context)
        if found:
            return Measured(outcome=Outcome.FAIL, sentence=" ".join(found), detail={"problems": found})
        return Measured(outcome=Outcome.PASS, sentence=f"Holds for {weights_path(context).name}.")


class Format(WeightsCheck[CheckEntry]):
    id = "weights.format"
    title = "Weights are safetensors and run no code"
    formula = "the file parses as safetensors; no pickle lies beside it"
    source = "safetensors format; CVE-2025-32434"

    def problems(self, entry: CheckEntry, context: Context) -> list[str]:
        path, files = weights_path(context), weight_files(context)
        missing = [f"{file.name} does not exist." for file in files if not file.is_file()]
        if missing:
            return missing
        found = []
        for other in sorted(path.parent.iterdir()):
            if other.is_file() and (other.suffix.lower() in UNSAFE_SUFFIXES or _is_pickle(other)):
                found.append(f"{other.name} is in a format that can run code when it is opened.")
        for file in files:
            if not any(file.name in sentence for sentence in found) and (problem := _header_problem(file)):
                found.append(problem)
        return found


def _is_pickle(path: Path) -> bool:
    with open(path, "rb") as stream:
        return stream.read(4).startswith(_PICKLES)


def _header_problem(path: Path) -> str:
    """Why the file is no safetensors, or an empty string. Reads the header only."""
    size = path.stat().st_size
    with open(path, "rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= min(size - 8, MAX_HEADER_BYTES):
            return f"{path.name} is not a safetensors file."
        try:
            header = json.loads(stream.read(length))
            ends = [v["data_offsets"][1] for k, v in header.items() if k != "__metadata__"]
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            return f"{path.name} has no readable safetensors header."
    if max(ends, default=0) != size - 8 - length:
        return f"{path.name} is cut or has bytes after its tensors."
    return ""


class Checksum(WeightsCheck[CheckEntry]):
    id = "weights.checksum"
    title = "Weights are the file that the card and the policy name"
    formula = (
        "SHA-256 of the file (of all its parts in order) = the card's sha256 "
        "(= the policy's subject.sha256 if given)"
    )
    source = "FIPS 180-4"

    def problems(self, entry: CheckEntry, context: Context) -> list[str]:
        path, files = weights_path(context), weight_files(context)
        missing = [f"{file.name} does not exist." for file in files if not file.is_file()]
        if missing:
            return missing
        whole = hashlib.sha256()
        for file in files:
            with open(file, "rb") as stream:
                while block := stream.read(1 << 20):
                    whole.update(block)
        actual, found = whole.hexdigest(), []
        if actual != subject_card(context).sha256:
            found.append(f"{path.name} is not the file its card describes (sha256 differs).")
        asked = context.policy.subject.sha256
        if asked and asked.lower() != actual:
            found.append(f"{path.name} is not the file that the policy names (sha256 {actual[:16]}…).")
        return found


class CardOptions(CheckEntry):
    """Options: fields of the card that must be filled in."""

    required: tuple[str, ...] = Field(
        default=("summary", "sha256", "licence", "training_data", "trained", "metrics", "limits")
    )


class Card(WeightsCheck[CardOptions]):
    id = "weights.card"
    title = "The model card is complete"
    formula = "every required field of the card is filled in"
    source = "Mitchell et al. 2019, Model Cards for Model Reporting"

    def problems(self, entry: CardOptions, context: Context) -> list[str]:
        try:
            card = subject_card(context)
        except WeightsError as error:
            return [str(error)]
        unknown = [f for f in entry.required if f not in WeightsCard.model_fields]
        empty = [f for f in entry.required if f not in unknown and not getattr(card, f)]
        return [f"The card says nothing under {f!r}." for f in empty] + [
            f"A card has no field {f!r}." for f in unknown
        ]


class Licence(WeightsCheck[CheckEntry]):
    id = "weights.licence"
    title = "The licence is on the allow-list"
    formula = "each part of the card's licence starts with an identifier from subject.licences"
    source = "SPDX licence identifiers"

    def problems(self, entry: CheckEntry, context: Context) -> list[str]:
        allowed = {name.lower() for name in context.policy.subject.licences}
        if not allowed:
            return ["The policy names no allowed licences (subject.licences)."]
        parts = [part.strip() for part in subject_card(context).licence.split(";") if part.strip()]
        wrong = [part for part in parts if part.split()[0].lower() not in allowed]
        return [
            f"The licence {part!r} is not on the allow-list." for part in wrong or ([] if parts else ["none"])
        ]
