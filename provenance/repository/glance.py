"""Whether there is anything to look up at all, without the database libraries: most users have nothing."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from countermark.core.files import data_dir

#: Of the user's own repository, in their data folder.
FILE_NAME = "manifests.db"


def own_repository_is_empty() -> bool:
    """True if the user's own repository does not exist, or has no manifest; False in any doubt."""
    path = data_dir() / FILE_NAME
    try:
        if not path.exists():
            return True
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1)) as found:
            return found.execute("SELECT 1 FROM manifests LIMIT 1").fetchone() is None
    except (OSError, sqlite3.Error):
        return False
