"""Classes without labels: what a generator gains from clusters of features, against true classes and none.

    python benchmarks/selflabels.py --data digits --recipe digits-32 --work runs/selflabels

Trains the recipe three times on the same images, with true classes, with as many self-labels, and
with no classes at all, and prints a table: KID and recall against held-out images, and how pure the
generator's classes are: the share of its pictures that a classifier, trained on the real images and
their true labels, puts into the commonest class of their condition. A run that is stopped goes on
where it was when the command is given again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from countermark.generators.data.pictures import load_pictures
from countermark.generators.data.selflabels import purity
from countermark.generators.gan.training import train_generator
from countermark.generators.library import load_generator
from countermark.generators.measuring.classifier import train_classifier
from countermark.generators.measuring.evaluation import evaluate_images
from countermark.generators.recipes.schema import load_recipe
from countermark.generators.training.checkpoints import FILE

KINDS = {"true classes": {}, "self-labels": {"classes": False}, "no classes": {"classes": False}}
EACH = 100


def measure(kind: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Trains one generator, or goes on with it, and measures it."""
    recipe = load_recipe(options.recipe)
    size, channels = int(recipe.network["size"]), int(recipe.network.get("channels", 3))
    truth = load_pictures(options.data, size=size, channels=channels, options=recipe.data, seed=options.seed)
    changes: dict[str, Any] = dict(KINDS[kind])
    if kind == "self-labels":
        changes |= {"self_labels": len(truth.classes), "self_label_features": options.features}
    recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update=changes)})
    path = train_generator(
        options.data, folder, recipe=recipe, name="measured", images=options.images, seed=options.seed,
        resume=(folder / FILE).exists(), progress=False,
    )  # fmt: skip
    generator = load_generator(path)
    images = generator.sample(len(truth.heldout), seed=1_000_000)
    report = evaluate_images(images, truth, extractor=options.extractor, name=kind, seed=options.seed)
    record = {"kind": kind, "report": report.as_dict(), "clusters": generator.card.trained.get("self_labels")}
    judge = train_classifier(truth.images, truth.labels, len(truth.classes), augment=True, seed=options.seed)
    record["judge"] = judge.accuracy(truth.heldout, truth.heldout_labels)
    if generator.classes:
        asked = np.repeat(np.arange(len(generator.classes)), EACH)
        made = np.concatenate(
            [
                generator.sample(EACH, seed=2_000_000 + EACH * i, condition=c)
                for i, c in enumerate(generator.classes)
            ]
        )
        named = judge.probabilities(made).argmax(axis=1)
        record["purity"] = purity(asked, named)
        record["classes_drawn"] = len(np.unique(named))
    (folder / "figures.json").write_text(json.dumps(record, indent=1), "utf-8")
    return record


def row(record: dict[str, Any]) -> str:
    report, clusters = record["report"], record["clusters"]
    kid, recall = (
        f"{report[k]['value']:.3f} ({report[k]['low']:.3f}–{report[k]['high']:.3f})"
        for k in ("kid", "recall")
    )
    found = f"{clusters['purity']:.2f} / {clusters['nmi']:.2f}" if clusters else "-"
    pure = f"{record['purity']:.2f}, {record['classes_drawn']} drawn" if "purity" in record else "-"
    return f"| {record['kind']} | {kid} | {recall} | {found} | {pure} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", default="digits", help="'digits', or a folder with a folder for each class")
    parser.add_argument("--recipe", default="digits-32")
    parser.add_argument("--features", default="dct", help="extractor that the clusters are made from")
    parser.add_argument("--extractor", default="lite0", help="extractor that the generators are measured in")
    parser.add_argument("--images", type=int, default=None, help="budget of each training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--work", type=Path, required=True, help="folder for checkpoints and figures")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"| trained with | KID ({options.extractor}) | recall | clusters: purity / NMI "
        f"| generated classes: purity |\n|---|---|---|---|---|"
    )
    for kind in options.kinds:
        folder = options.work / kind.replace(" ", "-")
        done = folder / "figures.json"
        record = json.loads(done.read_text("utf-8")) if done.exists() else measure(kind, options, folder)
        print(row(record), flush=True)


if __name__ == "__main__":
    main()
