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

from countermark.provenance.repository.exchange import export, import_
from countermark.provenance.repository.extract import extract_manifest
from countermark.provenance.repository.records import Deletion, Hit, ManifestRecord, record_for
from countermark.provenance.repository.store import Repository, open_repository, shared_repository

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
