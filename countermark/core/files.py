"""Files: digests, atomic writes that never overwrite, private files, the user's folders."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from platformdirs import user_config_path, user_data_path

from countermark.core.errors import OutputError

HOME_VARIABLE = "COUNTERMARK_HOME"


def sha256_bytes(data: bytes) -> str:
    """Lower-case hex SHA-256 of ``data``."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path | str) -> str:
    """Lower-case hex SHA-256 of a file, read in blocks."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def atomic_path(path: Path | str, *, overwrite: bool = False, mode: int = 0o644) -> Iterator[Path]:
    """Yields a temporary path beside ``path`` that becomes ``path`` if the block succeeds.

    The temporary file keeps the suffix of ``path``, is created 0600 and is removed when the
    block fails. Without ``overwrite`` an existing ``path`` is never replaced, not even one that
    appears while the block runs.

    Raises:
        OutputError: ``output.exists`` or ``output.failed``.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise _exists(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem[:80]}-", suffix=path.suffix)
    except OSError as error:
        raise OutputError(
            f"Cannot write into {path.parent}: {error.strerror or error}.",
            hint="Choose another output folder or free some space.",
        ) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, mode)
        if overwrite:
            os.replace(temporary, path)
        else:
            try:
                os.link(temporary, path)
            except FileExistsError as error:
                raise _exists(path) from error
            except OSError:  # a file system without hard links
                if path.exists():
                    raise _exists(path) from None
                os.replace(temporary, path)
    except OSError as error:
        raise OutputError(f"Cannot write {path}: {error.strerror or error}.") from error
    finally:
        temporary.unlink(missing_ok=True)


def atomic_write(path: Path | str, data: bytes | str, *, overwrite: bool = False, mode: int = 0o644) -> Path:
    """Writes ``data`` (text as UTF-8) whole or not at all; see ``atomic_path``."""
    with atomic_path(path, overwrite=overwrite, mode=mode) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)
    return Path(path)


def config_dir() -> Path:
    """Where identities and trust lists live: ``$COUNTERMARK_HOME`` or the user's config folder."""
    home = os.environ.get(HOME_VARIABLE)
    return Path(home) if home else user_config_path("countermark", appauthor=False)


def data_dir() -> Path:
    """Where the manifest repository and caches live: ``$COUNTERMARK_HOME`` or the user's data folder."""
    home = os.environ.get(HOME_VARIABLE)
    return Path(home) if home else user_data_path("countermark", appauthor=False)


def private_dir(path: Path) -> Path:
    """Makes ``path`` (and parents) and sets it to 0700."""
    path.mkdir(parents=True, exist_ok=True)
    os.chmod(path, 0o700)
    return path


def _exists(path: Path) -> OutputError:
    return OutputError(
        f"{path} exists and is not overwritten.",
        code="output.exists",
        hint="Choose another name or remove it first.",
    )
