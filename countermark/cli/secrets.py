"""Passphrases on the command line: in an option, in the environment, or, seen by nobody, in a file."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import typer

from countermark.cli.logs import warn
from countermark.core.errors import ConfigError, ProvenanceError

PASSPHRASE = typer.Option(
    None, "--passphrase", envvar="COUNTERMARK_PASSPHRASE", help="Protects the private key."
)
PASSPHRASE_FILE = typer.Option(
    None, "--passphrase-file", help="File whose first line is the passphrase; no list of processes shows it."
)
_MAX_BYTES = 65_536


def passphrase_of(passphrase: str | None, file: Path | None) -> str | None:
    """The passphrase that was given, from the file when there is one.

    Raises:
        ConfigError: The file holds none.
    """
    from countermark.core.images import Limits, read_bytes
    from countermark.provenance.identities.certificates import refuse_open

    if file is None:
        return passphrase
    with suppress(OSError):  # a missing one is said below
        try:
            refuse_open(file, file.stat().st_mode, "passphrase file")
        except ProvenanceError as error:  # as container platforms mount secrets
            warn(error.message)
    try:
        line = (read_bytes(file, Limits(max_bytes=_MAX_BYTES)).splitlines() or [b""])[0].decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not UTF-8 text.", code="key.passphrase") from error
    if not line:
        raise ConfigError(f"The first line of {file} is empty.", code="key.passphrase")
    return line
