"""Does the test set leak from the training set, and does a corpus give itself away by its packaging?"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from countermark.app.audit.checks.base import Check, Context, Measured
from countermark.app.audit.checks.towards import RELIABLE
from countermark.app.audit.samples import Item
from countermark.app.audit.schema import CheckEntry
from countermark.core.images import read_image
from countermark.core.intervals import Estimate
from countermark.core.results import Outcome

HASH_BITS = 256


def perceptual_hashes(context: Context, evidence: str) -> tuple[tuple[Item, ...], np.ndarray]:
    """Items and their hashes, bool ``[images, 256]``; made once for each evidence table."""

    def make() -> tuple[tuple[Item, ...], np.ndarray]:
        import imagehash
        from PIL import Image

        items = context.library.images(evidence).items
        rows = []
        for item in items:
            small = Image.fromarray(read_image(item.path).pixels)
            rows.append(imagehash.phash(small, hash_size=16).hash.ravel())
        return items, np.array(rows, dtype=bool).reshape(len(items), HASH_BITS)

    return context.once(("perceptual hashes", evidence), make)


class LeakageOptions(CheckEntry):
    """Options.

    Attributes:
        training: Evidence table with the images that the subject was trained on.
        distance: Bits (of 256) in which near-duplicates may differ.
    """

    training: str
    distance: int = Field(default=24, ge=0, le=100)


class Leakage(Check[LeakageOptions]):
    id = "detector.leakage"
    title = "Test images are not in the training set"
    direction = "at-most"
    kinds = ("detector", "generator")
    default_threshold = 0.0
    formula = "share of test images within 'distance' bits (of 256) of a training image"
    source = "perceptual hash of the DCT (Zauner 2010); every pair is compared"
    claims = RELIABLE

    def measure(self, entry: LeakageOptions, context: Context) -> Measured:
        items, test = perceptual_hashes(context, entry.evidence)
        others, training = perceptual_hashes(context, entry.training)
        if not len(test) or not len(training):
            return Measured(outcome=Outcome.SKIPPED, sentence="One of the two sets is empty.")
        a, b = test.astype(np.float32), training.astype(np.float32)
        distances = a.sum(axis=1)[:, None] + b.sum(axis=1)[None, :] - 2 * a @ b.T
        nearest = distances.argmin(axis=1)
        leaked = distances.min(axis=1) <= entry.distance
        pairs = [
            {"test": items[i].name, "training": others[int(nearest[i])].name, "bits": int(distances[i].min())}
            for i in np.flatnonzero(leaked)[:20]
        ]
        sentence = f"{int(leaked.sum())} of {len(items)} test images."
        if pairs:
            sentence += f" First: {pairs[0]['test']} is like {pairs[0]['training']}."
        return Measured(
            context.exact(float(leaked.mean()), len(items)), sentence=sentence, detail={"pairs": pairs}
        )


class Packaging(Check[CheckEntry]):
    id = "evidence.packaging"
    title = "The evidence does not give itself away by size, format or JPEG tables"
    unit = "AUROC"
    direction = "at-most"
    formula = "cross-validated AUROC of a classifier that sees only file headers, no pixel"
    source = "control experiment; see the detectors' control module"
    claims = RELIABLE

    def measure(self, entry: CheckEntry, context: Context) -> Measured:
        from countermark.core.corpus import Corpus, CorpusRow
        from countermark.detectors.measuring.control import control_auroc

        items = context.library.images(entry.evidence).items
        root = items[0].path.parent if items else context.library.workspace
        rows = tuple(
            CorpusRow(i.path.name if i.path.parent == root else str(i.path), ("real", "synthetic")[i.label])
            for i in items
        )
        interval = control_auroc(Corpus(root, rows), seed=context.policy.statistics.seed)
        if interval is None:
            return Measured(
                outcome=Outcome.SKIPPED, sentence="There are too few images for cross-validation."
            )
        return Measured(Estimate(interval, np.array([])))
