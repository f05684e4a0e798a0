"""Recovery in a scan: a picture whose credential was taken away is looked up in the records kept here.

So a scan and ``verify`` say the same of a crop of a signed picture.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from countermark.app.recovery import recover_credential, recovery_evidence, wanted
from countermark.app.scan.gather import Gathered
from countermark.core.images import DEFAULT_LIMITS, Limits
from countermark.core.results import MarkReading

if TYPE_CHECKING:
    from countermark.provenance.repository import Repository


def with_recovery(
    gathered: Gathered, repository: Repository | None = None, *, limits: Limits = DEFAULT_LIMITS
) -> Gathered:
    """The same, with what the repository knows of the picture among its evidence.

    Costs next to nothing while nothing was ever signed here. A file whose own credential holds is not
    looked up.

    Args:
        repository: Where to look; None for the user's own.
    """
    verification = gathered.verification
    if verification is None or not wanted(verification):
        return gathered
    mark = next(
        (
            MarkReading(e.detail["payload"], float(e.detail["p_value"]), str(e.detail.get("scheme", "")))
            for e in gathered.evidence
            if e.kind == "mark" and e.detail.get("payload")
        ),
        None,
    )
    found = recover_credential(
        replace(verification, mark=mark) if mark else verification,
        gathered.image.pixels,
        gathered.image.data,
        repository=repository,
        limits=limits,
    )
    evidence = (*gathered.evidence, *recovery_evidence(found))
    return replace(gathered, verification=found, evidence=evidence)
