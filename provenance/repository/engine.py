"""Connections to the repository's database: SQLite by default, PostgreSQL by URL.

SQLite runs in WAL mode, so that several processes read while one writes; writers wait for each
other for up to 30 seconds. The file and its companions are readable by their owner only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from countermark.core.errors import ConfigError, OutputError, ProvenanceError
from countermark.core.files import data_dir, private_dir
from countermark.provenance.repository.glance import FILE_NAME

#: Any number will do as long as no other program takes it; from the letters "cmrk".
_POSTGRES_LOCK = 0x636D726B

BUSY_SECONDS = 30


def default_url() -> URL:
    """The repository in the user's data folder (or ``$COUNTERMARK_HOME``)."""
    folder = data_dir()
    try:
        private_dir(folder)
    except OutputError as error:
        raise ProvenanceError(error.message, code="repository.unavailable", hint=error.hint) from error
    return URL.create("sqlite", database=str(folder / FILE_NAME))


def make_engine(url: str | None) -> Engine:
    """An engine for a database URL; None is the default repository.

    Raises:
        ConfigError: the URL is not understood or its driver is not installed.
    """
    try:
        parsed = default_url() if url is None else make_url(url)
    except ArgumentError as error:
        raise ConfigError(
            "The repository's address is not a database URL.",
            code="repository.url",
            hint="Examples: sqlite:////path/manifests.db, postgresql+psycopg://user@host/name",
        ) from error
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise ConfigError(
            f"The repository does not run on {parsed.get_backend_name()}.",
            code="repository.url",
            hint="Use SQLite or PostgreSQL.",
        )
    if parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed)
    try:
        return create_engine(parsed, pool_pre_ping=True, pool_recycle=1800)
    except (ImportError, NoSuchModuleError) as error:
        raise ConfigError(
            f"The driver of {parsed.drivername} is not installed.",
            code="repository.driver",
            hint="Install it with: pip install 'countermark[postgres]'",
        ) from error


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection for queries."""
    with _translated(engine), engine.connect() as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A connection inside one transaction, committed if the block succeeds."""
    with _translated(engine):
        if engine.dialect.name != "sqlite":
            with engine.begin() as connection:
                yield connection
            return
        with engine.connect() as connection:
            # Taken at once: two readers that both want to write later would lock each other out.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.exec_driver_sql("ROLLBACK")
                raise
            connection.exec_driver_sql("COMMIT")


def lock_for_migration(connection: Connection) -> None:
    """Keeps a second process from migrating at the same time, until the transaction ends."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _POSTGRES_LOCK})


@contextmanager
def _translated(engine: Engine) -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        raise
    except SQLAlchemyError as error:
        raise _unavailable(engine, getattr(error, "orig", None) or error) from error
    except Exception as error:
        driver = engine.dialect.dbapi
        if driver is None or not isinstance(error, driver.Error):
            raise
        raise _unavailable(engine, error) from error  # from the driver's own cursor, see ``mirror``


def _unavailable(engine: Engine, reason: BaseException) -> ProvenanceError:
    where = engine.url.render_as_string(hide_password=True)
    return ProvenanceError(
        f"The manifest repository {where} failed: {reason}.",
        code="repository.unavailable",
        hint="Check that it exists, that it may be written to, and that it is a repository.",
    )


def _sqlite(url: URL) -> Engine:
    memory = url.database in (None, "", ":memory:")
    if not memory:
        _create_private(Path(str(url.database)))
    engine = create_engine(
        url,
        poolclass=StaticPool if memory else None,
        isolation_level="AUTOCOMMIT",  # transactions are begun by hand, see ``writing``
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _: object) -> None:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
        cursor.execute("PRAGMA foreign_keys = ON")
        if not memory:
            cursor.execute("PRAGMA journal_mode = WAL")
            cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.close()

    return engine


def _create_private(path: Path) -> None:
    """Creates the file before SQLite does: its WAL takes over the permissions that it finds."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise _no_place(path, error) from error


def _no_place(path: Path, error: OSError) -> ProvenanceError:
    return ProvenanceError(
        f"The manifest repository cannot be opened at {path}: {error.strerror}.",
        code="repository.unavailable",
        hint="Choose another place for it with the environment variable COUNTERMARK_HOME.",
    )
