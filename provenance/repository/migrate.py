"""Brings a repository's tables to the newest revision; alembic is only loaded when there is work."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from countermark.core.errors import ProvenanceError
from countermark.provenance.repository.schema import HEAD

_SCRIPTS = Path(__file__).parent / "migrations"
_KNOWN = frozenset(path.stem.removeprefix("rev_") for path in (_SCRIPTS / "versions").glob("rev_*.py"))


def revision_of(connection: Connection) -> str | None:
    """The revision of an existing repository, or None for an empty database."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    row = connection.execute(text("SELECT version_num FROM alembic_version")).first()
    return str(row[0]) if row else None


def upgrade(connection: Connection) -> str | None:
    """Migrates inside the caller's transaction and returns the revision it started from.

    Raises:
        ProvenanceError: ``repository.newer`` when a newer Countermark made the repository.
    """
    before = revision_of(connection)
    if before == HEAD:
        return before
    if before is not None and before not in _KNOWN:
        raise ProvenanceError(
            f"The manifest repository is at revision {before}, which this version does not know.",
            code="repository.newer",
            hint="Install the version of Countermark that wrote it, or a newer one.",
        )
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    return before
