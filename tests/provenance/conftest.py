"""Fixtures for credentials: a private home for every test, small images, identities made once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from countermark.core.files import HOME_VARIABLE
from countermark.core.images import encode_image
from countermark.provenance import certificates as certs
from countermark.provenance.identity import Identity


@pytest.fixture(scope="session", autouse=True)
def _session_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing is read from or written to the real configuration folder."""
    before = os.environ.get(HOME_VARIABLE)
    os.environ[HOME_VARIABLE] = str(tmp_path_factory.mktemp("session-home"))
    yield
    if before is None:
        del os.environ[HOME_VARIABLE]
    else:
        os.environ[HOME_VARIABLE] = before


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty configuration folder of its own."""
    folder = tmp_path / "home"
    monkeypatch.setenv(HOME_VARIABLE, str(folder))
    return folder


@pytest.fixture(scope="session")
def pixels() -> np.ndarray:
    """A 96 x 128 image with some structure, uint8 RGB."""
    y, x = np.mgrid[0:96, 0:128]
    noise = np.random.default_rng(7).integers(0, 40, (96, 128, 3))
    return np.clip(np.stack([x, y * 2, (x + y)], axis=-1) + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def encoded(pixels: np.ndarray) -> Callable[[str], bytes]:
    """Encodes ``pixels`` in a format."""
    cache: dict[str, bytes] = {}

    def encode(format: str) -> bytes:
        if format not in cache:
            cache[format] = encode_image(pixels, format)
        return cache[format]

    return encode


@pytest.fixture(scope="session")
def foreign() -> tuple[Identity, str]:
    """An identity from an authority that nobody here trusts, and that authority's certificate."""
    authority = certs.make_authority("Foreign authority", organization="Elsewhere")
    key = certs.make_key("es256")
    leaf = certs.make_leaf(key.public_key(), "Foreign signer", authority, organization="Elsewhere")
    chain = certs.to_pem(leaf, authority[1])
    return Identity("foreign", "es256", chain, _key=key), certs.to_pem(authority[1])
