"""Manifests, fingerprints, region hashes and the trace of deletions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "manifests",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("manifest_id", sa.String(255), nullable=False, unique=True),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=True),
        sa.Column("created", sa.String(40), nullable=False),
        sa.Column("signer", sa.Text, nullable=False),
        sa.Column("digital_source_type", sa.Text, nullable=True),
        sa.Column("generator", sa.Text, nullable=True),
        sa.Column("sketch", sa.LargeBinary, nullable=True),
        sa.Column("store", sa.LargeBinary, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("manifests_payload", "manifests", ["payload"])
    op.create_index("manifests_sha256", "manifests", ["sha256"])
    for name, column in (("fingerprints", "hash"), ("regions", "hashes")):
        op.create_table(
            name,
            sa.Column("id", sa.Integer, sa.ForeignKey("manifests.id", ondelete="CASCADE"), primary_key=True),
            sa.Column(column, sa.LargeBinary, nullable=False),
        )
    op.create_table(
        "deletions",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("row", sa.Integer, nullable=False),
        sa.Column("manifest_id", sa.String(255), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("deleted", sa.String(40), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("deletions_manifest_id", "deletions", ["manifest_id"])


def downgrade() -> None:
    for name in ("deletions", "regions", "fingerprints", "manifests"):
        op.drop_table(name)
