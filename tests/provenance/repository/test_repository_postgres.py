"""The manifest repository on PostgreSQL: a private cluster in a temporary folder, no network port.

Skipped with a message where PostgreSQL's server programs or the driver are not installed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from sqlalchemy import insert, text

from countermark.core.errors import ConfigError, ProvenanceError
from countermark.core.seeds import rng
from countermark.provenance.fingerprint.regions import REGION_BYTES
from countermark.provenance.repository import ManifestRecord, open_repository
from countermark.provenance.repository.exchange import export, import_
from countermark.provenance.repository.schema import fingerprints, manifests, metadata


@pytest.fixture(scope="module")
def cluster(postgres: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    with postgres() as address:
        yield address


@pytest.fixture
def url(cluster: str) -> Iterator[str]:
    yield cluster
    with open_repository(cluster) as repository, repository.engine.begin() as connection:
        metadata.drop_all(connection)
        connection.execute(text("DROP TABLE alembic_version"))


def record(number: int, **changes: object) -> ManifestRecord:
    draw = rng(number, "record")
    values: dict[str, object] = {
        "manifest_id": f"urn:c2pa:{number}",
        "store": draw.bytes(300),
        "payload": draw.bytes(8),
        "fingerprint": draw.bytes(32),
        "regions": draw.bytes(REGION_BYTES),
        "sketch": draw.bytes(4096),
        "sha256": draw.bytes(32).hex(),
    }
    return ManifestRecord(**(values | changes))  # type: ignore[arg-type]


def test_records_are_found_deleted_and_moved(url: str, tmp_path: Path) -> None:
    with open_repository(url) as repository:
        records = [repository.add(record(k)) for k in range(6)]
        wanted = records[2]
        assert list(repository) == records and len(repository) == 6
        assert repository.by_manifest_id(wanted.manifest_id) == wanted
        assert repository.by_payload(wanted.payload or b"") == [wanted]
        (hit,) = repository.by_fingerprint(wanted.fingerprint or b"")
        assert hit.record == wanted and hit.distance == 0
        window = int.from_bytes((wanted.regions or b"")[8:16], "little")
        assert [h.record for h in repository.by_region(window, max_distance=0)] == [wanted]
        with pytest.raises(ProvenanceError) as caught:
            repository.add_all([record(7), record(2)])
        assert caught.value.code == "repository.exists" and len(repository) == 6
        trace = repository.delete(wanted.manifest_id, "asked for")
        assert repository.by_fingerprint(wanted.fingerprint or b"") == [] and repository.deleted() == [trace]
        assert export(repository, tmp_path / "export.jsonl") == 5
    with open_repository("sqlite://") as other:
        assert import_(other, tmp_path / "export.jsonl") == (5, 0)
        assert list(other) == [one for one in records if one != wanted]


def test_two_connections_see_each_other(url: str) -> None:
    with open_repository(url) as one, open_repository(url) as other:
        first = one.add(record(1))
        assert len(other.by_fingerprint(first.fingerprint or b"")) == 1
        one.delete(first.manifest_id, "test")
        assert other.by_fingerprint(first.fingerprint or b"") == []


def test_a_row_that_is_committed_late_is_still_found(url: str) -> None:
    """Row numbers are handed out before transactions are committed, so numbers can appear late."""
    with open_repository(url) as repository, repository.engine.connect() as slow:
        late = record(1)
        values = {c.name: getattr(late, c.name) for c in manifests.columns if c.name != "id"}
        key = slow.execute(insert(manifests).values(values)).inserted_primary_key[0]
        slow.execute(insert(fingerprints).values(id=key, hash=late.fingerprint))
        sooner = repository.add(record(2))
        assert len(repository.by_fingerprint(sooner.fingerprint or b"")) == 1
        assert repository.by_fingerprint(late.fingerprint or b"") == []
        slow.commit()
        (hit,) = repository.by_fingerprint(late.fingerprint or b"")
        assert hit.record.manifest_id == late.manifest_id


def test_many_threads_open_and_write(url: str) -> None:
    errors: list[BaseException] = []

    def work(offset: int) -> None:
        try:
            with open_repository(url) as repository:
                for k in range(offset, offset + 10):
                    repository.add(record(k, regions=None, sketch=None))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(100 * k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with open_repository(url) as repository:
        assert errors == [] and len(repository) == 40


def test_migrations_make_the_tables_that_the_code_uses(url: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with open_repository(url) as repository, repository.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(ProvenanceError) as caught:
        open_repository("postgresql://someone:secret@/nowhere?host=/nonexistent-socket-folder")
    assert caught.value.code == "repository.unavailable" and "secret" not in str(caught.value)


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for name in [name for name in sys.modules if name.partition(".")[0] == "psycopg"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigError) as caught:
        open_repository("postgresql://someone@/nowhere")
    assert caught.value.code == "repository.driver" and "pip install" in caught.value.hint
