"""The manifest repository: where a stripped credential is found again.

>>> import tempfile
>>> folder = tempfile.mkdtemp()
>>> repository = open_repository(f"sqlite:///{folder}/manifests.db")
>>> record = ManifestRecord("urn:c2pa:1", b"jumbf", payload=b"8 bytes!", sha256="0" * 64)
>>> repository.add(record).manifest_id
'urn:c2pa:1'
>>> [found.manifest_id for found in repository.by_payload(b"8 bytes!")]
['urn:c2pa:1']
>>> repository.close()
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from countermark.provenance.repository.exchange import export, import_
    from countermark.provenance.repository.extract import extract_manifest
    from countermark.provenance.repository.records import Deletion, Hit, ManifestRecord, record_for
    from countermark.provenance.repository.store import Repository, open_repository, shared_repository

_HOMES = {
    "Deletion": "records",
    "Hit": "records",
    "ManifestRecord": "records",
    "Repository": "store",
    "export": "exchange",
    "extract_manifest": "extract",
    "import_": "exchange",
    "open_repository": "store",
    "record_for": "records",
    "shared_repository": "store",
}

__all__ = [
    "Deletion",
    "Hit",
    "ManifestRecord",
    "Repository",
    "export",
    "extract_manifest",
    "import_",
    "open_repository",
    "record_for",
    "shared_repository",
]


def __getattr__(name: str) -> Any:
    """Imports a function when it is first asked for: a look at an empty repository needs no database."""
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
