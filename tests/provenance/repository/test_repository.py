"""The manifest repository on SQLite: finding, deleting, moving, migrating, several processes."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import inspect

from countermark.core.errors import ConfigError, OutputError, ProvenanceError
from countermark.core.seeds import rng
from countermark.provenance.fingerprint.regions import REGION_BYTES
from countermark.provenance.repository import (
    ManifestRecord,
    Repository,
    extract_manifest,
    open_repository,
    shared_repository,
)
from countermark.provenance.repository.exchange import export, import_
from countermark.provenance.repository.index import HammingIndex
from countermark.provenance.repository.records import MAX_STORE_BYTES
from countermark.provenance.repository.schema import HEAD, metadata


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
        "signer": "default",
        "digital_source_type": "trainedAlgorithmicMedia",
    }
    return ManifestRecord(**(values | changes))  # type: ignore[arg-type]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'store' / 'manifests.db'}"


@pytest.fixture
def repository(url: str) -> Repository:
    return open_repository(url)


def flip(value: bytes, bits: int) -> bytes:
    """``value`` with its first ``bits`` bits changed."""
    return (int.from_bytes(value, "big") ^ ((1 << bits) - 1)).to_bytes(len(value), "big")


def test_what_was_added_is_found_every_way(repository: Repository) -> None:
    records = [record(k) for k in range(20)]
    for one in records:
        repository.add(one)
    wanted = records[7]
    assert len(repository) == 20 and list(repository) == records
    assert repository.by_manifest_id(wanted.manifest_id) == wanted
    assert repository.by_payload(wanted.payload or b"") == [wanted]
    assert repository.by_sha256(wanted.sha256) == [wanted]
    (hit,) = repository.by_fingerprint(flip(wanted.fingerprint or b"", 31))
    assert hit.record == wanted and hit.distance == 31
    assert repository.by_fingerprint(flip(wanted.fingerprint or b"", 32)) == []
    window = int.from_bytes((wanted.regions or b"")[80:88], "little") ^ 0b11
    assert [(h.record.manifest_id, h.distance) for h in repository.by_region(window, max_distance=4)] == [
        (wanted.manifest_id, 2)
    ]


def test_unknown_things_are_not_found(repository: Repository) -> None:
    assert repository.by_manifest_id("urn:c2pa:none") is None
    assert repository.by_payload(bytes(8)) == []
    assert repository.by_fingerprint(bytes(32)) == []
    assert repository.by_region(0) == []


def test_several_manifests_of_one_picture_come_newest_first(repository: Repository) -> None:
    first = repository.add(record(1))
    second = repository.add(record(2, payload=first.payload, fingerprint=first.fingerprint))
    assert repository.by_payload(first.payload or b"") == [second, first]
    hits = repository.by_fingerprint(first.fingerprint or b"")
    assert [hit.record for hit in hits] == [second, first]
    assert len(repository.by_fingerprint(first.fingerprint or b"", limit=1)) == 1


def test_a_manifest_is_recorded_once(repository: Repository) -> None:
    repository.add(record(1))
    with pytest.raises(ProvenanceError) as caught:
        repository.add_all([record(2), record(1)])
    assert caught.value.code == "repository.exists"
    assert len(repository) == 1, "all or none"


@pytest.mark.parametrize(
    "changes",
    [
        {"manifest_id": ""},
        {"manifest_id": "two words"},
        {"manifest_id": "x" * 256},
        {"manifest_id": "urn\n"},
        {"store": b""},
        {"store": bytes(MAX_STORE_BYTES + 1)},
        {"sha256": "0" * 63},
        {"sha256": "A" * 64},
        {"payload": b""},
        {"payload": bytes(65)},
        {"fingerprint": bytes(31)},
        {"regions": bytes(8)},
        {"sketch": bytes(1)},
        {"signer": "s" * 1001},
        {"generator": "a\0b"},
    ],
)
def test_records_out_of_bounds_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ProvenanceError) as caught:
        record(1, **changes)
    assert caught.value.code == "repository.invalid-record"


def test_deletion_removes_everything_and_leaves_a_trace(repository: Repository, url: str) -> None:
    kept, gone = repository.add(record(1)), repository.add(record(2))
    assert len(repository.by_fingerprint(gone.fingerprint or b"")) == 1
    trace = repository.delete(gone.manifest_id, " asked for by its author ")
    assert trace.reason == "asked for by its author" and trace.sha256 == gone.sha256
    assert repository.deleted() == [trace] == repository.deleted(gone.manifest_id)
    assert repository.by_fingerprint(gone.fingerprint or b"") == []
    assert repository.by_payload(gone.payload or b"") == []
    assert list(repository) == [kept]
    with sqlite3.connect(url.removeprefix("sqlite:///")) as raw:
        for table in ("fingerprints", "regions", "manifests"):
            assert raw.execute(f"SELECT count(*) FROM {table}").fetchone() == (1,)


def test_deletion_needs_a_record_and_a_reason(repository: Repository) -> None:
    repository.add(record(1))
    with pytest.raises(ProvenanceError) as caught:
        repository.delete("urn:c2pa:9", "why not")
    assert caught.value.code == "repository.unknown"
    with pytest.raises(ProvenanceError) as caught:
        repository.delete("urn:c2pa:1", "  ")
    assert caught.value.code == "repository.no-reason"
    assert repository.deleted() == [] and len(repository) == 1


def test_export_and_import_keep_everything(repository: Repository, tmp_path: Path) -> None:
    records = [repository.add(record(k)) for k in range(5)]
    bare = repository.add(record(9, payload=None, fingerprint=None, regions=None, sketch=None))
    repository.delete(records[0].manifest_id, "test")
    path = tmp_path / "export.jsonl"
    assert export(repository, path) == 5
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(OutputError):
        export(repository, path)
    other = open_repository("sqlite://")
    assert import_(other, path) == (5, 0)
    assert list(other) == [*records[1:], bare]
    assert import_(other, path) == (0, 5)
    other.delete(records[1].manifest_id, "stays away")
    assert import_(other, path) == (0, 5)
    assert import_(other, path, restore_deleted=True) == (1, 4)


@pytest.mark.parametrize(
    "content, line",
    [
        ("", None),
        ("{}\n", 1),
        ("[1]\n", 1),
        ("not json\n", 1),
        ('{"schema": "countermark.manifests/2"}\n', 1),
        ('{"schema": "countermark.manifests/1"}\n{"record": {"manifest_id": "a"}}\n', 2),
        ('{"schema": "countermark.manifests/1"}\n{"record": 5}\n', 2),
        ('{"schema": "countermark.manifests/1"}\n[]\n', 2),
        ('{"schema": "countermark.manifests/1"}\n{"record": {"manifest_id": "a", "store": "%%"}}\n', 2),
        ('{"schema": "countermark.manifests/1"}\n{"record": {"manifest_id": 7, "store": "aaaa"}}\n', 2),
        ('{"schema": "countermark.manifests/1"}\n' + "[" * 100_000 + "\n", 2),
    ],
)
def test_a_damaged_export_is_refused_with_its_line(
    repository: Repository, tmp_path: Path, content: str, line: int | None
) -> None:
    path = tmp_path / "damaged.jsonl"
    path.write_text(content)
    if line is None:
        assert import_(repository, path) == (0, 0)
        return
    with pytest.raises(ProvenanceError, match=f"Line {line} ") as caught:
        import_(repository, path)
    assert caught.value.code == "repository.import" and len(repository) == 0


def test_files_are_private(repository: Repository, tmp_path: Path) -> None:
    repository.add(record(1))
    files = list((tmp_path / "store").iterdir())
    assert {f.name for f in files} >= {"manifests.db", "manifests.db-wal"}
    assert {stat.S_IMODE(f.stat().st_mode) for f in files} == {0o600}


def test_the_default_lies_in_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERMARK_HOME", str(tmp_path / "home"))
    with open_repository() as repository:
        repository.add(record(1))
    assert stat.S_IMODE((tmp_path / "home" / "manifests.db").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "home").stat().st_mode) == 0o700


def test_migrations_make_the_tables_that_the_code_uses(repository: Repository) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with repository.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        assert context.get_current_revision() == HEAD


def test_migrations_go_back(repository: Repository) -> None:
    from alembic import command
    from alembic.config import Config

    from countermark.provenance.repository import migrate

    config = Config()
    config.set_main_option("script_location", str(migrate._SCRIPTS))
    with repository.engine.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        assert inspect(connection).get_table_names() == ["alembic_version"]


def test_a_newer_repository_is_left_alone(repository: Repository, url: str) -> None:
    repository.close()
    with sqlite3.connect(url.removeprefix("sqlite:///")) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(ProvenanceError) as caught:
        open_repository(url)
    assert caught.value.code == "repository.newer"


def test_what_is_no_repository_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    path.write_text("these are my notes, not a database " * 100)
    with pytest.raises(ProvenanceError) as caught:
        open_repository(f"sqlite:///{path}")
    assert caught.value.code == "repository.unavailable"
    with pytest.raises(ProvenanceError):
        open_repository(f"sqlite:///{tmp_path / 'notes.db' / 'below.db'}")


def test_a_place_that_cannot_be_written_to_is_a_typed_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("COUNTERMARK_HOME", str(tmp_path / "file"))
    with pytest.raises(ProvenanceError) as caught:
        open_repository()
    assert caught.value.code == "repository.unavailable" and caught.value.hint


def test_a_damaged_repository_is_a_typed_error(repository: Repository, url: str) -> None:
    for k in range(40):
        repository.add(record(k))
    repository.close()
    path = Path(url.removeprefix("sqlite:///"))
    data = path.read_bytes()
    failed = 0
    for place in range(4096, len(data), 4096):
        path.write_bytes(data[:place] + b"\xff" * 4096 + data[place + 4096 :])
        try:
            with open_repository(url) as broken:
                broken.by_fingerprint(bytes(32))
                broken.by_region(0)
                list(broken)
        except ProvenanceError:
            failed += 1
    assert failed > 3


@pytest.mark.parametrize("bad", ["", "nonsense", "mysql://u:secret@h/d", "oracle://x"])
def test_other_urls_are_refused_without_showing_passwords(bad: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_repository(bad)
    assert caught.value.code == "repository.url" and "secret" not in str(caught.value)


WRITER = """
import sys
from countermark.provenance.repository import ManifestRecord, open_repository
url, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
with open_repository(url) as repository:
    for k in range(count):
        tag = f"{name}-{k}".encode()
        look = tag.ljust(32, b".")
        repository.add(ManifestRecord(f"urn:{name}:{k}", tag, fingerprint=look, sha256="0" * 64))
        assert repository.by_manifest_id(f"urn:{name}:{k}")
"""


def test_several_processes_open_migrate_and_write_at_once(url: str) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, url, name, "40"], env=environment) for name in "abc"
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    with open_repository(url) as repository:
        assert len(repository) == 120
        (hit,) = repository.by_fingerprint(b"b-17".ljust(32, b"."), max_distance=0)
        assert hit.record.manifest_id == "urn:b:17"


def test_a_search_sees_what_another_connection_changed(url: str) -> None:
    one, other = open_repository(url), open_repository(url)
    first = one.add(record(1))
    assert len(other.by_fingerprint(first.fingerprint or b"")) == 1
    second = one.add(record(2))
    assert len(other.by_fingerprint(second.fingerprint or b"")) == 1
    one.delete(first.manifest_id, "test")
    assert other.by_fingerprint(first.fingerprint or b"") == []


def test_threads_share_a_repository(url: str) -> None:
    repository = open_repository(url)
    errors: list[BaseException] = []

    def work(offset: int) -> None:
        try:
            for k in range(offset, offset + 15):
                added = repository.add(record(k))
                (hit,) = repository.by_fingerprint(added.fingerprint or b"")
                assert hit.record == added
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(100 * k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == [] and len(repository) == 60


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(0, 60),
    shape=st.sampled_from([(1, 1), (1, 3), (4, 1), (2, 2)]),
    limit=st.integers(1, 12),
)
def test_the_index_agrees_with_plain_counting(
    seed: int, count: int, shape: tuple[int, int], limit: int
) -> None:
    words, per_entry = shape
    draw = np.random.default_rng(seed)
    # Few different bytes, so that near and equal distances are common.
    values = draw.integers(0, 3, (count, per_entry, 8 * words), dtype=np.uint8)
    query = draw.integers(0, 3, 8 * words, dtype=np.uint8)
    index = HammingIndex(words, per_entry)
    half = count // 2
    for part in (slice(0, half), slice(half, count)):
        index.add(range(count)[part], [v.tobytes() for v in values[part]])
    gone = [k for k in range(count) if k % 5 == 3]
    index.remove([*gone, 10_000])
    bits = np.bitwise_count(values ^ query).sum(2, dtype=int).min(1, initial=10_000)
    reach = 8 * words
    expected = sorted((int(b), -k) for k, b in enumerate(bits) if b <= reach and k not in gone)
    found = index.search(query.tobytes(), max_distance=reach, limit=limit)
    assert found == [(-k, b) for b, k in expected[:limit]]
    assert len(index) == count - len(gone)


def test_the_index_finds_over_many_blocks() -> None:
    draw = np.random.default_rng(5)
    values = draw.integers(0, 256, (50_000, 32), dtype=np.uint8)
    index = HammingIndex(4)
    for start in range(0, 50_000, 7_000):
        part = values[start : start + 7_000]
        index.add(range(start, start + len(part)), [v.tobytes() for v in part])
    for k in (0, 16_383, 16_384, 49_999):
        assert index.search(values[k].tobytes(), max_distance=31) == [(k, 0)]
    assert index.search(bytes(32), max_distance=20) == []
    with pytest.raises(ValueError):
        index.search(bytes(31), max_distance=1)


def test_exports_are_plain_json_lines(repository: Repository, tmp_path: Path) -> None:
    repository.add(record(1))
    export(repository, tmp_path / "e.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "e.jsonl").read_text().splitlines()]
    assert lines[0] == {"schema": "countermark.manifests/1"}
    assert lines[1]["record"]["manifest_id"] == "urn:c2pa:1"


def box(kind: bytes, content: bytes) -> bytes:
    """One JUMBF box."""
    return (len(content) + 8).to_bytes(4, "big") + kind + content


def manifest_box(label: str, content: bytes) -> bytes:
    """A superbox with a description box that carries ``label``."""
    return box(b"jumb", box(b"jumd", bytes(16) + b"\x03" + label.encode() + b"\0") + content)


INNER = [manifest_box(f"urn:c2pa:{k}", box(b"cbor", bytes([k]))) for k in range(3)]
STORE = manifest_box("c2pa", b"".join(INNER))


def test_one_manifest_is_taken_out_of_a_store() -> None:
    for k in range(3):
        expected = manifest_box("c2pa", INNER[k])
        assert extract_manifest(STORE, f"urn:c2pa:{k}") == expected
        assert extract_manifest(expected, f"urn:c2pa:{k}") == expected
    assert extract_manifest(STORE, "urn:c2pa:9") == STORE


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(STORE) - 1), st.integers(0, 255)), max_size=6),
    st.integers(0, len(STORE)),
)
def test_damaged_stores_are_never_made_larger(changes: list[tuple[int, int]], length: int) -> None:
    damaged = bytearray(STORE)
    for place, value in changes:
        damaged[place] = value
    result = extract_manifest(bytes(damaged[:length]), "urn:c2pa:1")
    assert len(result) <= length
    assert result == damaged[:length] or int.from_bytes(result[:4], "big") == len(result)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200), headed=st.booleans())
def test_imports_of_anything_are_refused_with_a_typed_error(
    repository: Repository, content: bytes, headed: bool
) -> None:
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as stream:
        stream.write((b'{"schema": "countermark.manifests/1"}\n' if headed else b"") + content)
        stream.flush()
        try:
            import_(repository, stream.name)
        except ProvenanceError as error:
            assert error.code == "repository.import"
    assert len(repository) == 0


def test_the_own_repository_is_shared_and_follows_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUNTERMARK_HOME", str(tmp_path / "one"))
    first = shared_repository()
    first.add(ManifestRecord("urn:c2pa:1", b"jumbf", sha256="0" * 64))
    assert shared_repository() is first and len(shared_repository()) == 1
    monkeypatch.setenv("COUNTERMARK_HOME", str(tmp_path / "two"))
    assert len(shared_repository()) == 0
    monkeypatch.setenv("COUNTERMARK_HOME", str(tmp_path / "one"))
    assert len(shared_repository()) == 1
    for file in (tmp_path / "one").glob("manifests.db*"):
        file.unlink()
    assert len(shared_repository()) == 0  # not the file that is gone
