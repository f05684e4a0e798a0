"""Thumbnails for reports on credentials: of a file, and of the pictures in its history."""

from __future__ import annotations

from contextlib import suppress

from countermark.core.errors import CountermarkError
from countermark.core.images import Limits, read_bytes, read_image
from countermark.core.results import Verification
from countermark.reports import Thumbnail, make_thumbnail

#: Bounds of a picture inside a credential.
INNER_LIMITS = Limits(max_bytes=2 << 20, max_pixels=4_000_000, max_side=4_000)
INNER_SIDE = 120
#: Files of one report that get pictures.
MAX_FILES = 200


def history_pictures(verification: Verification) -> dict[str, Thumbnail]:
    """Thumbnails in a credential's history, by ``PATH#LABEL``; damaged ones are left out."""
    from countermark.provenance.credentials.pictures import thumbnails

    found: dict[str, Thumbnail] = {}
    if len(verification.chain) < 1:
        return found
    with suppress(CountermarkError, OSError):
        for label, picture in thumbnails(read_bytes(verification.path), None).items():
            with suppress(CountermarkError):
                pixels = read_image(picture, INNER_LIMITS).pixels
                found[f"{verification.path}#{label}"] = make_thumbnail(pixels, side=INNER_SIDE)
    return found


def file_pictures(verification: Verification) -> dict[str, Thumbnail]:
    """The same, and the file's own thumbnail under its path."""
    found = history_pictures(verification)
    with suppress(CountermarkError):
        found[verification.path] = make_thumbnail(read_image(verification.path).pixels)
    return found
