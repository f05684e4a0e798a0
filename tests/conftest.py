"""For every test: a private home and one thread each, so that parallel workers don't fight."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def _private_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing is read from or written to the user's own configuration folder."""
    before = os.environ.get("COUNTERMARK_HOME")
    os.environ["COUNTERMARK_HOME"] = str(tmp_path_factory.mktemp("countermark-home"))
    yield
    if before is None:
        del os.environ["COUNTERMARK_HOME"]
    else:
        os.environ["COUNTERMARK_HOME"] = before
