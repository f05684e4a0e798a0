"""Soft bindings: what ties a credential to pixels rather than to bytes (C2PA 2.x, 18.10).

>>> SoftBinding("org.countermark.tile.1", bytes(8)).kind
'watermark'
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

LABEL = "c2pa.soft-binding"
OWN_PREFIX = "org.countermark."

#: C2PA's list of soft-binding algorithms for images. The library checks no name against it.
#: Source: https://github.com/c2pa-org/softbinding-algorithm-list, as of early 2026.
REGISTERED = frozenset(
    """
    ai.contentlens.image.basewmk ai.contentlens.image.customwmk ai.contentlens.image.ensemblewmk
    ai.steg.api ai.trufo.pawprint.fingerprint ai.trufo.pawprint.watermark app.overlai.watermark.1
    castLabs.watermark.1 com.adobe.icn.dense com.adobe.trustmark.C com.adobe.trustmark.P
    com.adobe.trustmark.Q com.digicaps.fingerprint.1 com.digimarc.validate.1 com.imatag.lamark.v1
    com.markany.watermark.1 com.mentaport.watermark.1 com.microsoft.invismark.1
    com.nagra.nexguard.watermark.1 es.lumatrace io.iscc.v0 org.atsc.a336
    """.split()
)


@dataclass(frozen=True)
class SoftBinding:
    """One soft binding of an image.

    Attributes:
        alg: Algorithm name, as in C2PA's list.
        value: What a detector or fingerprinter finds in the pixels, 1-4096 bytes.
        kind: ``watermark`` or ``fingerprint``.
    """

    alg: str
    value: bytes
    kind: str = "watermark"

    def __post_init__(self) -> None:
        if not 1 <= len(self.value) <= 4096:
            raise ValueError(f"A soft binding holds 1 to 4096 bytes, not {len(self.value)}.")
        if not self.alg or not self.alg.isascii() or len(self.alg) > 128:
            raise ValueError("A soft-binding algorithm has an ASCII name of 1 to 128 characters.")


def known_algorithm(name: str) -> bool:
    """Whether ``name`` is registered with C2PA or one of ours."""
    return name in REGISTERED or name.startswith(OWN_PREFIX)


def to_assertion(binding: SoftBinding, value: str) -> dict[str, Any]:
    """The assertion as c2pa's builder takes it, with ``value`` for the binding's bytes."""
    data = {"alg": binding.alg, "blocks": [{"scope": {}, "value": value}]}
    return {"label": LABEL, "data": data, "created": True}
