"""One picture at a time, answered as soon as can be: for a page where somebody waits.

What the file says of itself is gathered while the detector looks at the pixels, each on a processor of its
own, and a record that is found again is looked up once, for the scan and for the verification alike.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from countermark.app.rooms import Detector
from countermark.app.scan.gather import MARK_SECONDS, Gathered, gather
from countermark.app.scan.judging import scores_under, settle
from countermark.app.scan.recovering import with_recovery
from countermark.core.images import Limits, LoadedImage
from countermark.core.results import ScanResult, Verification

if TYPE_CHECKING:
    from countermark.provenance.repository import Repository


def scan_picture(
    image: LoadedImage,
    *,
    name: str,
    detector: Detector,
    limits: Limits,
    max_fpr: float = 0.01,
    stress: bool = True,
    repository: Repository | None = None,
    mark_seconds: float = MARK_SECONDS,
    on_gathered: Callable[[], None] = lambda: None,
) -> tuple[ScanResult, Verification | None]:
    """What a scan finds of a picture that was read already, and what its credential is.

    Args:
        image: The picture, with its file's bytes.
        name: What messages call it.
        repository: Where a credential that was taken away is looked for; None for the user's own.
        on_gathered: Called when the credential was checked and marks were looked for.

    Raises:
        ImageError: the bytes are no picture that may be read.
    """

    def gathered() -> Gathered:
        found = gather(name, limits=limits, mark_seconds=mark_seconds, data=image.data)
        found = with_recovery(found, repository, limits=limits)
        on_gathered()
        return found

    bounds = detector.thresholds(max_fpr)
    with ThreadPoolExecutor(max_workers=1) as beside:
        waiting = beside.submit(gathered)
        (scored,) = scores_under(detector, [image], stress)
        item = waiting.result()
    return settle(item, scored, detector, bounds), item.verification
