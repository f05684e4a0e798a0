"""Tables of the manifest repository. The migrations beside this module create and change them.

Fingerprints stand in narrow tables of their own, so that loading a million of them into the
index does not walk past a million manifests.
"""

from __future__ import annotations

from sqlalchemy import (
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

#: The newest migration; a repository at this revision is used as it stands.
HEAD = "0001"

metadata = MetaData()

manifests = Table(
    "manifests",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("manifest_id", String(255), nullable=False, unique=True),
    Column("sha256", String(64), nullable=False),
    Column("payload", LargeBinary, nullable=True),
    Column("created", String(40), nullable=False),
    Column("signer", Text, nullable=False),
    Column("digital_source_type", Text, nullable=True),
    Column("generator", Text, nullable=True),
    Column("sketch", LargeBinary, nullable=True),
    Column("store", LargeBinary, nullable=False),
    Index("manifests_payload", "payload"),
    Index("manifests_sha256", "sha256"),
    sqlite_autoincrement=True,
)

fingerprints = Table(
    "fingerprints",
    metadata,
    Column("id", Integer, ForeignKey("manifests.id", ondelete="CASCADE"), primary_key=True),
    Column("hash", LargeBinary, nullable=False),
)

regions = Table(
    "regions",
    metadata,
    Column("id", Integer, ForeignKey("manifests.id", ondelete="CASCADE"), primary_key=True),
    Column("hashes", LargeBinary, nullable=False),
)

deletions = Table(
    "deletions",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("row", Integer, nullable=False),
    Column("manifest_id", String(255), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("deleted", String(40), nullable=False),
    Column("reason", Text, nullable=False),
    Index("deletions_manifest_id", "manifest_id"),
    sqlite_autoincrement=True,
)
