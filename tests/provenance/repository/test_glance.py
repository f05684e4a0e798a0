from pathlib import Path

import pytest

from countermark.provenance.repository import ManifestRecord, open_repository
from countermark.provenance.repository.glance import FILE_NAME, own_repository_is_empty


def test_only_a_repository_with_a_manifest_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERMARK_HOME", str(tmp_path))
    assert own_repository_is_empty()
    repository = open_repository()
    try:
        assert (tmp_path / FILE_NAME).exists() and own_repository_is_empty()
        repository.add(ManifestRecord("urn:c2pa:1", b"jumbf", fingerprint=bytes(32), sha256="0" * 64))
        assert not own_repository_is_empty()
    finally:
        repository.close()


def test_a_damaged_repository_is_opened_and_complains_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUNTERMARK_HOME", str(tmp_path))
    (tmp_path / FILE_NAME).write_bytes(b"no database" * 100)
    assert not own_repository_is_empty()
