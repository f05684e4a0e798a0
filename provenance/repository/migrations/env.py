"""Alembic's entry: migrates the connection that ``repository.migrate`` hands over."""

from __future__ import annotations

from alembic import context

from countermark.provenance.repository.schema import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, transactional_ddl=False)
context.run_migrations()
