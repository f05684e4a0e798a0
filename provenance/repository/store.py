"""The repository itself: add, find, delete.

>>> repository = open_repository("sqlite://")
>>> record = ManifestRecord("urn:c2pa:1", b"jumbf", fingerprint=bytes(32), sha256="0" * 64)
>>> _ = repository.add(record)
>>> [(hit.record.manifest_id, hit.distance) for hit in repository.by_fingerprint(bytes(31) + b"\\x03")]
[('urn:c2pa:1', 2)]
>>> repository.delete("urn:c2pa:1", "asked for by its author").reason
'asked for by its author'
>>> repository.by_manifest_id("urn:c2pa:1") is None
True
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any

from sqlalchemy import Engine, delete, func, insert, select
from sqlalchemy.exc import IntegrityError

from countermark.core.errors import ProvenanceError
from countermark.provenance.fingerprint import MAX_DISTANCE
from countermark.provenance.repository.engine import (
    default_url,
    lock_for_migration,
    make_engine,
    reading,
    writing,
)
from countermark.provenance.repository.mirror import Mirror
from countermark.provenance.repository.records import (
    MAX_TEXT_LENGTH,
    Deletion,
    Hit,
    ManifestRecord,
    now,
)
from countermark.provenance.repository.schema import deletions, fingerprints, manifests, regions

#: Most records that one look-up returns.
MAX_RESULTS = 100

_PAGE = 200


def open_repository(url: str | None = None) -> Repository:
    """Opens a repository and brings its tables up to date.

    Args:
        url: ``sqlite:////path/file.db``, ``postgresql://user@host/name``, or None for
            ``manifests.db`` in the user's data folder.

    Raises:
        ConfigError: the URL is not understood.
        ProvenanceError: ``repository.unavailable`` or ``repository.newer``.
    """
    from countermark.provenance.repository.migrate import revision_of, upgrade
    from countermark.provenance.repository.schema import HEAD

    engine = make_engine(url)
    with reading(engine) as connection:
        current = revision_of(connection)
    if current != HEAD:
        with writing(engine) as connection:
            lock_for_migration(connection)
            upgrade(connection)
    return Repository(engine)


def shared_repository() -> Repository:
    """The user's own repository, opened once in each process; not to be closed.

    Opening one costs some 15 ms, and its index of fingerprints is loaded anew. It is opened again
    when its file was replaced, when ``COUNTERMARK_HOME`` has moved it, and after a fork.
    """
    path = str(default_url().database)
    with _sharing:
        kept = _shared.get(os.getpid())
        if kept is None or kept[0] != (path, _inode(path)):
            repository = open_repository()
            kept = ((path, _inode(path)), repository)
            _shared.clear()
            _shared[os.getpid()] = kept
        return kept[1]


_shared: dict[int, tuple[tuple[str, int], Repository]] = {}
_sharing = threading.Lock()


def _inode(path: str) -> int:
    try:
        return os.stat(path).st_ino
    except OSError:
        return 0


class Repository:
    """Manifests by id, by watermark payload and by fingerprint. Safe to share by threads.

    Several processes may use one database at the same time. Close it when done, or use ``with``.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._hashes = Mirror(engine, fingerprints.c.id, fingerprints.c.hash, words=4)
        self._regions = Mirror(engine, regions.c.id, regions.c.hashes, words=1)

    def __enter__(self) -> Repository:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Returns all connections."""
        self.engine.dispose()

    def __len__(self) -> int:
        with reading(self.engine) as connection:
            return int(connection.execute(select(func.count()).select_from(manifests)).scalar_one())

    def add(self, record: ManifestRecord) -> ManifestRecord:
        """Stores a record.

        Raises:
            ProvenanceError: ``repository.exists`` when its manifest id is there already.
        """
        self.add_all([record])
        return record

    def add_all(self, records: Iterable[ManifestRecord]) -> int:
        """Stores records in one transaction, all or none; returns how many."""
        count = 0
        try:
            with writing(self.engine) as connection:
                for record in records:
                    values = _columns(record)
                    row = connection.execute(insert(manifests).values(values)).inserted_primary_key
                    key = int(row[0]) if row else 0
                    if record.fingerprint is not None:
                        connection.execute(insert(fingerprints).values(id=key, hash=record.fingerprint))
                    if record.regions is not None:
                        connection.execute(insert(regions).values(id=key, hashes=record.regions))
                    count += 1
        except IntegrityError as error:
            raise ProvenanceError(
                "The repository already holds a manifest of this id.",
                code="repository.exists",
                hint="A manifest is recorded once, when it is signed.",
            ) from error
        return count

    def has(self, manifest_id: str) -> bool:
        """Whether there is a record of a manifest; nothing of it is loaded."""
        with reading(self.engine) as connection:
            query = select(manifests.c.id).where(manifests.c.manifest_id == manifest_id)
            return connection.execute(query).first() is not None

    def by_manifest_id(self, manifest_id: str) -> ManifestRecord | None:
        """The record of a manifest, or None."""
        found = self._find(manifests.c.manifest_id == manifest_id, limit=1)
        return found[0][1] if found else None

    def latest(self, limit: int = 50) -> list[ManifestRecord]:
        """The records that were added last, newest first; at most ``MAX_RESULTS``."""
        return [record for _, record in self._find(manifests.c.id > 0, limit=min(limit, MAX_RESULTS))]

    def by_sha256(self, sha256: str) -> list[ManifestRecord]:
        """Records of a signed file by its digest, newest first."""
        return [record for _, record in self._find(manifests.c.sha256 == sha256)]

    def by_payload(self, payload: bytes, *, limit: int = 10) -> list[ManifestRecord]:
        """Records whose watermark carries exactly this payload, newest first."""
        return [record for _, record in self._find(manifests.c.payload == payload, limit=limit)]

    def by_fingerprint(
        self, fingerprint: bytes, *, max_distance: int = MAX_DISTANCE, limit: int = 10
    ) -> list[Hit]:
        """Records whose fingerprint lies within ``max_distance`` bits, nearest first.

        A hit says that the pictures look alike, not that they are the same:
        ``countermark.provenance.repository.recovery`` re-checks it.
        """
        limit = max(0, min(limit, MAX_RESULTS))
        return self._hits(self._hashes.search(fingerprint, max_distance=max_distance, limit=limit))

    def by_region(self, content_hash: int, *, max_distance: int = 16, limit: int = 16) -> list[Hit]:
        """Records with a window that looks like the hashed image: candidates for a cropped copy.

        Args:
            content_hash: See ``countermark.provenance.fingerprint.content_hash``.
            max_distance: In bits, of 64. Chance hits are common: re-check every one.
        """
        query = int(content_hash).to_bytes(8, "little")
        return self._hits(self._regions.search(query, max_distance=max_distance, limit=limit))

    def warm(self) -> None:
        """Loads the fingerprints into memory, which the first look-up would do otherwise."""
        self._hashes.refresh()
        self._regions.refresh()

    def delete(self, manifest_id: str, reason: str) -> Deletion:
        """Deletes a record and keeps a trace: id, file digest, time and reason.

        Raises:
            ProvenanceError: ``repository.unknown`` when there is no such record,
                ``repository.no-reason`` when no reason is given.
        """
        reason = reason.strip()
        if not reason or len(reason) > MAX_TEXT_LENGTH or "\0" in reason:
            raise ProvenanceError(
                f"A deletion needs a reason of 1 to {MAX_TEXT_LENGTH} characters.",
                code="repository.no-reason",
            )
        with writing(self.engine) as connection:
            row = connection.execute(
                select(manifests.c.id, manifests.c.sha256).where(manifests.c.manifest_id == manifest_id)
            ).first()
            if row is None:
                raise ProvenanceError(
                    f"The repository holds no manifest {manifest_id!r}.", code="repository.unknown"
                )
            trace = Deletion(manifest_id, row.sha256, now(), reason)
            values = {"row": row.id, "manifest_id": trace.manifest_id, "sha256": trace.sha256}
            values |= {"deleted": trace.deleted, "reason": trace.reason}
            connection.execute(insert(deletions).values(values))
            for table in (fingerprints, regions, manifests):
                connection.execute(delete(table).where(table.c.id == row.id))
        return trace

    def deleted(self, manifest_id: str | None = None) -> list[Deletion]:
        """Traces of deletions, oldest first; of one manifest, or of all."""
        query = select(deletions).order_by(deletions.c.id)
        if manifest_id is not None:
            query = query.where(deletions.c.manifest_id == manifest_id)
        with reading(self.engine) as connection:
            rows = connection.execute(query).all()
        return [Deletion(r.manifest_id, r.sha256, r.deleted, r.reason) for r in rows]

    def __iter__(self) -> Iterator[ManifestRecord]:
        """All records in the order in which they were added, read in pages."""
        last = 0
        while page := self._find(manifests.c.id > last, limit=_PAGE, newest_first=False):
            last = page[-1][0]
            yield from (record for _, record in page)

    def _hits(self, found: list[tuple[int, int]]) -> list[Hit]:
        if not found:
            return []
        records = dict(self._find(manifests.c.id.in_([key for key, _ in found]), limit=len(found)))
        return [Hit(records[key], bits) for key, bits in found if key in records]

    def _find(
        self, condition: Any, *, limit: int = MAX_RESULTS, newest_first: bool = True
    ) -> list[tuple[int, ManifestRecord]]:
        order = manifests.c.id.desc() if newest_first else manifests.c.id
        query = (
            select(manifests, fingerprints.c.hash, regions.c.hashes)
            .outerjoin(fingerprints, fingerprints.c.id == manifests.c.id)
            .outerjoin(regions, regions.c.id == manifests.c.id)
            .where(condition)
            .order_by(order)
            .limit(limit)
        )
        with reading(self.engine) as connection:
            return [(row.id, _record(row)) for row in connection.execute(query)]


def _columns(record: ManifestRecord) -> dict[str, Any]:
    names = (c.name for c in manifests.columns if c.name != "id")
    return {name: getattr(record, name) for name in names}


def _record(row: Any) -> ManifestRecord:
    values = {c.name: getattr(row, c.name) for c in manifests.columns if c.name != "id"}
    for name in ("store", "payload", "sketch"):
        values[name] = None if values[name] is None else bytes(values[name])
    fingerprint = None if row.hash is None else bytes(row.hash)
    return ManifestRecord(
        **values, fingerprint=fingerprint, regions=None if row.hashes is None else bytes(row.hashes)
    )
