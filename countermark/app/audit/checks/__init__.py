"""The checks by their id. Each is imported when it is asked for; none loads a model before it measures.

>>> CHECKS.get("detector.auroc").title
'Ranks synthetic images above real ones'

A new check is a class in one of these modules and its line here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from countermark.core.registry import Registry

if TYPE_CHECKING:
    from countermark.app.audit.checks.base import Check

CHECKS: Registry[type[Check[Any]]] = Registry("check")

for _id, _home in {
    "detector.auroc": "detector:Auroc",
    "detector.tpr": "detector:Tpr",
    "detector.fpr": "detector:Fpr",
    "detector.recall": "detector:Recall",
    "detector.ece": "detector:Calibration",
    "detector.brier": "detector:Brier",
    "detector.abstention": "detector:Abstention",
    "detector.worst-generator": "robust:WorstGenerator",
    "detector.worst-source": "robust:WorstSource",
    "detector.held-out-generator": "robust:HeldOut",
    "detector.worst-delivery": "robust:WorstDelivery",
    "detector.drop": "robust:Drop",
    "detector.flips": "robust:Flips",
    "detector.pgd": "attacks:Pgd",
    "detector.square": "attacks:Square",
    "detector.laundering": "attacks:Laundering",
    "detector.leakage": "leakage:Leakage",
    "detector.latency": "cost:Latency",
    "detector.memory": "cost:Memory",
    "evidence.packaging": "leakage:Packaging",
    "generator.kid": "generator:Kid",
    "generator.fid": "generator:Fid",
    "generator.precision": "generator:Precision",
    "generator.recall": "generator:Recall",
    "generator.density": "generator:Density",
    "generator.coverage": "generator:Coverage",
    "generator.c-t": "generator:CopyScore",
    "generator.authentic": "generator:Authentic",
    "generator.near-duplicates": "generator:NearDuplicates",
    "generator.mark-recovery": "marks:MarkRecovery",
    "generator.mark-fpr": "marks:MarkFpr",
    "generator.signed": "marks:GeneratorSigned",
    "pipeline.readable": "pipeline:Readable",
    "pipeline.signed": "pipeline:Signed",
    "pipeline.trusted": "pipeline:Trusted",
    "pipeline.source-type": "pipeline:SourceType",
    "pipeline.timestamped": "pipeline:Timestamped",
    "pipeline.conformant": "pipeline:Conformant",
    "pipeline.identified": "disclosure:Identified",
    "pipeline.labelled": "disclosure:Labelled",
    "pipeline.kept": "kept:Kept",
    "pipeline.marked": "marks:Marked",
    "pipeline.recoverable": "marks:Recoverable",
    "weights.format": "weights:Format",
    "weights.checksum": "weights:Checksum",
    "weights.card": "weights:Card",
    "weights.licence": "weights:Licence",
}.items():
    CHECKS.place(_id, f"{__name__}.{_home}")
