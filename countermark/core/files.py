"""Files: digests, atomic writes that never overwrite, private files, the user's folders.

While something is written it lies beside its place under a name that only this module gives
(``is_temporary``). What a killed process leaves under such a name is swept away by the next one
that writes into the folder, and no walk takes it for a picture.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import io
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from platformdirs import user_config_path, user_data_path

from countermark.core.errors import OutputError

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows, which has no such locks
    fcntl = None  # type: ignore[assignment]

HOME_VARIABLE = "COUNTERMARK_HOME"
_PIECE = 65_536
_TEMPORARY = re.compile(r"\.countermark-(\d{1,10})-[0-9a-f]{12}-")
#: Seconds after which a temporary file that nobody holds is swept whatever process its name gives, and
#: after which one is where files cannot be held.
_STALE, _OLD = 60.0, 86_400.0


def sha256_bytes(data: bytes) -> str:
    """Lower-case hex SHA-256 of ``data``."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path | str) -> str:
    """Lower-case hex SHA-256 of a file, read in blocks."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def open_regular(path: Path | str) -> IO[bytes]:
    """A file opened for reading, if it is an ordinary one; never waits for a pipe.

    Raises:
        OSError: as ``open``; ``EINVAL`` for what is no ordinary file.
        ValueError: the name holds a NUL.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):  # opening a device may do something
        raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
    flags = os.O_RDONLY
    for name in ("O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY"):
        flags |= getattr(os, name, 0)
    handle = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(handle).st_mode):  # it became something else meanwhile
        os.close(handle)
        raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
    return os.fdopen(handle, "rb")


def read_head(path: Path | str, size: int = 64) -> bytes:
    """The first bytes of an ordinary file; empty where there is none to read."""
    try:
        with open_regular(path) as stream:
            return stream.read(size)
    except (OSError, ValueError):
        return b""


@contextmanager
def atomic_path(path: Path | str, *, overwrite: bool = False, mode: int = 0o644) -> Iterator[Path]:
    """Yields a temporary path beside ``path`` that becomes ``path`` if the block succeeds.

    The temporary file keeps the suffix of ``path``, is created 0600 and is removed when the
    block fails; one that a killed process left is swept by the next that writes into the folder.
    Without ``overwrite`` an existing ``path`` is never replaced, not even one that appears while
    the block runs.

    Raises:
        OutputError: ``output.exists`` or ``output.failed``.
    """
    with atomic_stream(path, overwrite=overwrite, mode=mode) as stream:
        stream.close()
        yield Path(stream.name)


@contextmanager
def atomic_stream(path: Path | str, *, overwrite: bool = False, mode: int = 0o644) -> Iterator[io.FileIO]:
    """``atomic_path``, opened for writing bytes without a buffer.

    Several times faster than to open the temporary path: a file that is truncated and written is
    put on disk at once by some file systems (ext4), when it is closed.
    """
    path = Path(path)
    name = os.fspath(path)
    if not overwrite and os.path.exists(name):
        raise _exists(path)
    folder, file = os.path.split(name)
    stem, suffix = os.path.splitext(file)
    _swept_once(folder or ".")
    held = -1
    try:
        handle, temporary = _temporary(folder or ".", stem[:60], suffix)
        held = _hold(handle)
    except OSError as error:
        raise OutputError(
            f"Cannot write into {path.parent}: {error.strerror or error}.",
            hint="Choose another output folder or free some space.",
        ) from error
    try:
        with open(handle, "wb", buffering=0) as stream:
            stream.name = temporary
            yield stream
        os.chmod(temporary, mode)
        if overwrite:
            os.replace(temporary, name)
        else:
            try:
                os.link(temporary, name)
            except FileExistsError as error:
                raise _exists(path) from error
            except OSError:  # a file system without hard links
                if os.path.exists(name):
                    raise _exists(path) from None
                os.replace(temporary, name)
    except OSError as error:
        raise OutputError(
            f"Cannot write {path}: {error.strerror or error}.",
            hint="Choose another place or free some space.",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if held >= 0:
            os.close(held)


def atomic_write(path: Path | str, data: bytes | str, *, overwrite: bool = False, mode: int = 0o644) -> Path:
    """Writes ``data`` (text as UTF-8) whole or not at all; see ``atomic_path``."""
    with atomic_stream(path, overwrite=overwrite, mode=mode) as stream:
        write_all(stream, data.encode() if isinstance(data, str) else data)
    return Path(path)


def refuse_existing(path: Path | str) -> None:
    """OutputError ``output.exists`` if something is there: for saying so before hours of work."""
    if os.path.exists(path):
        raise _exists(Path(path))


def check_writable(path: Path | str, *, overwrite: bool = False) -> None:
    """OutputError for a place where ``atomic_write`` would fail, before hours of work rather than after.

    With ``overwrite`` only an ordinary file is replaced, never a device, a pipe or a folder.
    """
    path = Path(path)
    if os.path.lexists(path) and not (overwrite and path.is_file()):
        if path.is_dir() or (overwrite and path.exists()):
            raise OutputError(f"{path} is not a file that could be replaced.")
        raise _exists(path)
    folder = next((each for each in path.absolute().parents if os.path.lexists(each)), Path("/"))
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(
            f"Cannot write {path}: {folder} is not a folder that may be written to.",
            hint="Choose another output folder.",
        )


def write_all(stream: io.FileIO, data: bytes) -> str:
    """Writes all of ``data`` in pieces of 64 KB and returns its SHA-256, taken on the way.

    For one large piece Linux sets aside blocks of up to 2 MB that no file has used yet; on virtual
    machines the first use of such memory costs more than everything else (measured: 5 ms for 2 MB).
    """
    view, digest = memoryview(data), hashlib.sha256()
    while view:
        piece = view[:_PIECE]
        written = stream.write(piece) or 0
        digest.update(piece[:written])
        view = view[written:]
    return digest.hexdigest()


def is_temporary(name: str) -> bool:
    """Whether a file's name (without folder) is that of something half written."""
    return _TEMPORARY.match(name) is not None


def sweep(folder: Path | str) -> int:
    """Removes what killed processes left half written in a folder, not below it; returns how many."""
    removed = 0
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = _TEMPORARY.match(entry.name)
            if match and _abandoned(entry.path, int(match[1])):
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)
                    removed += 1
    return removed


@functools.lru_cache(maxsize=256)
def _swept_once(folder: str) -> None:
    """Each folder is swept when a process first writes into it."""
    sweep(folder)


def _hold(handle: int) -> int:
    """A second descriptor that keeps an open file locked until it is closed, or -1."""
    if fcntl is None:
        return -1
    with contextlib.suppress(OSError):  # a file system without locks, or no descriptor left
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.dup(handle)
    return -1


def _abandoned(path: str, process: int) -> bool:
    """Whether nobody is going to finish a temporary file.

    Its writer holds it, on whatever machine; the process in its name matters only between the file's
    making and its lock, and may be one of another container.
    """
    try:
        age = time.time() - os.lstat(path).st_mtime
        if fcntl is None:
            return age > _OLD
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return age > _OLD
    finally:
        os.close(handle)
    return abs(age) > _STALE or not process_runs(process)


def process_runs(process: int) -> bool:
    """Whether there is a process of this number on this machine; True in any doubt."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _temporary(folder: str, stem: str, suffix: str) -> tuple[int, str]:
    """An open temporary file (0600) in ``folder``, which is made when it is missing."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    for attempt in range(100):
        name = f"{folder}/.countermark-{os.getpid()}-{os.urandom(6).hex()}-{stem}{suffix}"
        try:
            return os.open(name, flags, 0o600), name
        except FileExistsError:
            continue
        except FileNotFoundError:
            if attempt:
                raise
            os.makedirs(folder, exist_ok=True)
    raise FileExistsError(f"no free name in {folder}")


@functools.lru_cache(maxsize=8)
def _home(home: str) -> Path:
    """One object for each folder: it is asked for several times with every signature."""
    return Path(home)


def config_dir() -> Path:
    """Where identities and trust lists live: ``$COUNTERMARK_HOME`` or the user's config folder."""
    home = os.environ.get(HOME_VARIABLE)
    return _home(home) if home else user_config_path("countermark", appauthor=False)


def data_dir() -> Path:
    """Where the manifest repository and caches live: ``$COUNTERMARK_HOME`` or the user's data folder."""
    home = os.environ.get(HOME_VARIABLE)
    return _home(home) if home else user_data_path("countermark", appauthor=False)


def private_dir(path: Path) -> Path:
    """Makes ``path`` (and parents) and sets it to 0700.

    Raises:
        OutputError: ``home.unusable``, for a home that is missing, full or read-only.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        os.chmod(path, 0o700)
    except OSError as error:
        raise OutputError(
            f"The folder {path} cannot be used: {error.strerror or error}.",
            code="home.unusable",
            hint=f"Name another place for keys and records in the environment variable {HOME_VARIABLE}.",
        ) from error
    return path


def _exists(path: Path) -> OutputError:
    return OutputError(
        f"{path} exists and is not overwritten.",
        code="output.exists",
        hint="Choose another name or remove it first.",
    )
