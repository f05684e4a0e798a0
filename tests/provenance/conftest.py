"""Fixtures for credentials: a private home for every test, small images, identities made once."""

from __future__ import annotations

import datetime
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from countermark.core.files import HOME_VARIABLE
from countermark.core.images import encode_image
from countermark.provenance.identities import certificates as certs
from countermark.provenance.identities.identity import Identity


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


@pytest.fixture(scope="session")
def passes() -> Callable[[Callable[[], object]], float]:
    """Measures a function in passes of a simple expression over a megabyte of text, on this machine and now.

    Processor time alone would depend on the machine; work that grows with the square of a text costs
    thousands of passes on any.
    """
    text = "word " * (2**20 // 5)

    def processor(function: Callable[[], object]) -> float:
        start = time.process_time()
        function()
        return time.process_time() - start

    def measured(function: Callable[[], object]) -> float:
        one = min(processor(lambda: re.findall(r"\w+", text)) for _ in range(3))
        return processor(function) / one

    return measured


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


@pytest.fixture(scope="session")
def make_chain() -> Callable[..., tuple[str, bytes, str]]:
    """Makes chains with chosen faults: (PEM chain, PEM key, PEM of the root)."""
    return _make_chain


def _make_chain(
    *,
    eku: list[str] | None = ("1.3.6.1.5.5.7.3.4",),  # type: ignore[assignment]
    usage: dict[str, bool] | None = None,
    no_usage: bool = False,
    aki: bool = True,
    ca: bool | None = None,
    critical: str | None = None,
    key: object = None,
    starts: datetime.timedelta = datetime.timedelta(days=-1),
    days: int = 30,
    self_signed: bool = False,
    order: str = "leaf,root",
    middle_days: int | None = None,
) -> tuple[str, bytes, str]:
    """See ``make_chain``; every default gives a good chain."""
    root_key, root = certs.make_authority("Test root")
    issuer_key, issuer = root_key, root
    middle = None
    if middle_days is not None:
        issuer_key = certs.make_key("es256")
        middle = _certificate(
            "Middle", issuer_key.public_key(), root.subject, root_key, -400, middle_days, ca=True
        )
        issuer = middle
    leaf_key = key or certs.make_key("es256")
    name = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, "Leaf"), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "O")]
    )
    start = datetime.datetime.now(datetime.UTC) + starts
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name if self_signed else issuer.subject)
        .public_key(leaf_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=days))
    )
    if eku is not None:
        purposes = x509.ExtendedKeyUsage([x509.ObjectIdentifier(oid) for oid in eku])
        builder = builder.add_extension(purposes, critical=False)
    if not no_usage:
        builder = builder.add_extension(certs._usage(**(usage or {"digital_signature": True})), critical=True)
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
    if aki:
        signer = leaf_key if self_signed else issuer_key
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    if critical:
        unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier(critical), b"\x05\x00")
        builder = builder.add_extension(unknown, critical=True)
    leaf = builder.sign(leaf_key if self_signed else issuer_key, hashes.SHA256())
    named = {"leaf": leaf, "root": root, "middle": middle}
    chain = certs.to_pem(*(named[each] for each in order.split(",") if named[each] is not None))
    anchor = certs.to_pem(leaf if self_signed else root)
    private = leaf_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return chain, private, anchor


def _certificate(name, public_key, issuer, issuer_key, start_days, end_days, *, ca):  # type: ignore[no-untyped-def]
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=start_days))
        .not_valid_after(now + datetime.timedelta(days=end_days))
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
        .add_extension(certs._usage(key_cert_sign=ca, crl_sign=ca), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        )
        .sign(issuer_key, hashes.SHA256())
    )
