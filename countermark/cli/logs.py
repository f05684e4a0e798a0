"""What a command says beside its result: on standard error, as much as was asked for, made harmless.

Library code writes to ``logging.getLogger(__name__)`` and never prints. The command line shows notices
(such as where a report was written) and warnings; ``--verbose`` adds progress, ``--verbose --verbose``
everything, ``--quiet`` leaves errors only. What other libraries warn of (a text of EXIF that is cut, an
option of theirs that will go) tells whoever scans nothing that a row does not: it is progress.
"""

from __future__ import annotations

import logging
import sys

from countermark.core.notices import NOTICE
from countermark.reports.text import visible

LOGGER = "countermark"
#: Where ``logging.captureWarnings`` sends what ``warnings.warn`` was told.
OTHERS = "py.warnings"
_PREFIXES = {logging.WARNING: "Warning: ", logging.ERROR: "Error: ", logging.CRITICAL: "Error: "}
_HINT = "  "


class PlainFormatter(logging.Formatter):
    """Lines for people: no control character of a file's name or a manifest reaches the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        prefix = _PREFIXES.get(record.levelno, "")
        if record.levelno <= logging.DEBUG:
            prefix = f"{record.name}: "
        text = prefix + visible(record.getMessage())
        if record.exc_info:
            lines = self.formatException(record.exc_info).splitlines()
            text = "\n".join([text, *(_HINT + visible(line) for line in lines)])
        return text


class StderrHandler(logging.Handler):
    """Writes to what standard error is at that moment: a progress bar may stand in for it."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
        except (OSError, ValueError):  # standard error is closed
            self.handleError(record)


def start(*, verbose: int = 0, quiet: bool = False) -> None:
    """Sends the package's log to standard error from the level on that was asked for."""
    stop()
    logging.addLevelName(NOTICE, "NOTICE")
    level = (NOTICE, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    handler = StderrHandler()
    handler.setFormatter(PlainFormatter())
    logger = logging.getLogger(LOGGER)
    logger.addHandler(handler)
    logger.setLevel(logging.ERROR if quiet else level)
    logging.captureWarnings(True)
    others = logging.getLogger(OTHERS)
    others.propagate = False
    others.addHandler(handler if verbose and not quiet else logging.NullHandler())


def stop() -> None:
    """Leaves the log as it was before ``start``."""
    logging.captureWarnings(False)
    for logger in (logging.getLogger(LOGGER), others := logging.getLogger(OTHERS)):
        for handler in [h for h in logger.handlers if isinstance(h, (StderrHandler, logging.NullHandler))]:
            logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    others.propagate = True


def tell(text: str) -> None:
    """A notice, unless ``--quiet`` was given."""
    logging.getLogger(LOGGER).log(NOTICE, text)


def warn(text: str) -> None:
    """A warning, unless ``--quiet`` was given."""
    logging.getLogger(LOGGER).warning(text)


def is_quiet() -> bool:
    """Whether nothing but results and errors is wanted."""
    return not logging.getLogger(LOGGER).isEnabledFor(logging.WARNING)
