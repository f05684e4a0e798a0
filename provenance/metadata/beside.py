"""XMP side-cars: what Lightroom, Bridge and other tools write beside a picture instead of into it.

>>> read_beside("no/such/picture.jpg")
[]

A side-car belongs to a picture by its name only, and goes astray when either is renamed or copied. So what
it says is listed and never decides.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import replace

from countermark.core.results import Evidence, Strength
from countermark.provenance.metadata import rules
from countermark.provenance.metadata.blocks import MAX_TEXT

#: What our own side-cars say of a scan, which is no declaration of the file's.
_OWN = re.compile(r"<photoshop:Instructions>Countermark:[^<]{0,4000}</photoshop:Instructions>")


def read_beside(path: str) -> list[Evidence]:
    """What ``NAME.xmp`` or ``NAME.EXTENSION.xmp`` beside a file says of its origin; always weak.

    At most one mebibyte of it is read. Nothing is raised.
    """
    for beside in (os.path.splitext(path)[0] + ".xmp", path + ".xmp"):
        packet = _read(beside)
        if packet:
            name = "".join(each if each.isprintable() else "?" for each in os.path.basename(beside))
            return [_listed(each, name) for each in rules.from_xmp(packet)[:8]]
    return []


def _read(path: str) -> str:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return ""
        with open(path, "rb") as stream:
            return _OWN.sub("", stream.read(MAX_TEXT).decode("utf-8", "replace"))
    except (OSError, ValueError):
        return ""


def _listed(evidence: Evidence, name: str) -> Evidence:
    sentence = f"The side-car {name[:80]} says: {evidence.sentence}"
    detail = {**evidence.detail, "sidecar": name[:200]}
    return replace(evidence, strength=Strength.WEAK, sentence=sentence, detail=detail)
