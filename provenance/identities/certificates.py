"""Keys and X.509 certificates as the C2PA certificate profile wants them.

Profile: C2PA 2.x section "Certificate Profile": a v3 leaf with digitalSignature, an extended
key usage (emailProtection here), an authority key identifier, and no CA bit.

>>> key = make_key("ed25519")
>>> "BEGIN PRIVATE KEY" in key_to_pem(key).decode()
True
"""

from __future__ import annotations

import datetime
import os
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from countermark.core.errors import ProvenanceError

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

ALGORITHMS = ("es256", "es384", "es512", "ps256", "ps384", "ps512", "ed25519")
_CURVES: dict[str, ec.EllipticCurve] = {
    "es256": ec.SECP256R1(),
    "es384": ec.SECP384R1(),
    "es512": ec.SECP521R1(),
}
_Hash = hashes.SHA256 | hashes.SHA384 | hashes.SHA512
_HASHES: dict[str, _Hash] = {
    "256": hashes.SHA256(),
    "384": hashes.SHA384(),
    "512": hashes.SHA512(),
}


def check_algorithm(algorithm: str) -> str:
    """``algorithm`` in lower case; ProvenanceError ``key.algorithm`` if C2PA has no such one."""
    name = algorithm.lower()
    if name not in ALGORITHMS:
        raise ProvenanceError(
            f"{algorithm!r} is not a C2PA signing algorithm.",
            code="key.algorithm",
            hint=f"Use one of {', '.join(ALGORITHMS)}.",
        )
    return name


def make_key(algorithm: str) -> PrivateKey:
    """A new private key for ``algorithm`` (see ``ALGORITHMS``)."""
    name = check_algorithm(algorithm)
    if name in _CURVES:
        return ec.generate_private_key(_CURVES[name])
    if name == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(public_exponent=65537, key_size=3072)


def algorithm_of(key: Any) -> str:
    """The C2PA algorithm that a key (private or public) signs with; PS256 for RSA.

    Raises:
        ProvenanceError: ``key.algorithm`` for a key that C2PA does not allow.
    """
    curve = getattr(key, "curve", None)
    if curve is not None:
        for name, known in _CURVES.items():
            if known.name == curve.name:
                return name
        raise ProvenanceError(
            f"Keys on the curve {curve.name} cannot sign Content Credentials.",
            code="key.algorithm",
            hint="Use P-256, P-384, P-521, RSA of 2048 bits or more, or Ed25519.",
        )
    if isinstance(key, (rsa.RSAPrivateKey, rsa.RSAPublicKey)):
        return "ps256"
    if isinstance(key, (ed25519.Ed25519PrivateKey, ed25519.Ed25519PublicKey)):
        return "ed25519"
    raise ProvenanceError(
        f"{type(key).__name__} cannot sign Content Credentials.",
        code="key.algorithm",
        hint="Use an EC, RSA or Ed25519 key.",
    )


def sign_with(key: PrivateKey, algorithm: str, data: bytes) -> bytes:
    """Signs ``data`` as COSE wants it: raw r||s for ECDSA, PSS with salt = hash length for RSA."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(data)
    digest = _HASHES[algorithm[2:]]
    if isinstance(key, rsa.RSAPrivateKey):
        pss = padding.PSS(mgf=padding.MGF1(digest), salt_length=digest.digest_size)
        return key.sign(data, pss, digest)
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(digest)))
    size = (key.curve.key_size + 7) // 8
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def make_authority(
    common_name: str, *, algorithm: str = "es256", days: int = 3650, organization: str = "Countermark"
) -> tuple[PrivateKey, x509.Certificate]:
    """A self-signed certificate authority that may sign leaves only."""
    key = make_key(algorithm)
    name = _name(common_name, organization)
    builder = _builder(name, name, key.public_key(), days)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
    builder = builder.add_extension(
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
    )
    return key, builder.sign(key, _ca_hash(key))


def make_leaf(
    public_key: Any,
    common_name: str,
    authority: tuple[PrivateKey, x509.Certificate],
    *,
    days: int = 365,
    organization: str = "Countermark",
) -> x509.Certificate:
    """A signing certificate for ``public_key``, issued by ``authority`` after the C2PA profile."""
    ca_key, ca = authority
    builder = _builder(
        _name(common_name, organization), ca.subject, public_key, days, until=ca.not_valid_after_utc
    )
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(digital_signature=True), critical=True)
    builder = builder.add_extension(
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False
    )
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    aki = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    return builder.add_extension(aki, critical=False).sign(ca_key, _ca_hash(ca_key))


def make_csr(key: PrivateKey, common_name: str, organization: str, country: str | None = None) -> bytes:
    """A PEM certificate signing request that asks for the C2PA profile."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(_name(common_name, organization, country))
    builder = builder.add_extension(_usage(digital_signature=True), critical=True)
    builder = builder.add_extension(
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False
    )
    return builder.sign(key, _ca_hash(key)).public_bytes(serialization.Encoding.PEM)


def load_chain(pem: bytes | str) -> list[x509.Certificate]:
    """The certificates of a PEM bundle in file order.

    Raises:
        ProvenanceError: ``certificate.unreadable``.
    """
    raw = pem.encode() if isinstance(pem, str) else pem
    try:
        return x509.load_pem_x509_certificates(raw)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ProvenanceError(
            f"No certificate can be read: {error}.",
            code="certificate.unreadable",
            hint="Give a PEM file (BEGIN CERTIFICATE), the signing certificate first.",
        ) from error


def read_private(path: Path) -> bytes:
    """The bytes of a key file of ours, which nobody but its owner may read or write.

    Raises:
        ProvenanceError: ``key.permissions``: others may; ``key.unreadable``: it is not there.
    """
    try:
        mode = path.stat().st_mode
        data = path.read_bytes()
    except OSError as error:
        raise ProvenanceError(
            f"The key {path} cannot be read: {error.strerror or error}.",
            code="key.unreadable",
            hint="Restore the folder from a backup, or make a new identity.",
        ) from error
    refuse_open(path, mode)
    return data


def refuse_open(path: Path, mode: int, what: str = "key") -> None:
    """``key.permissions`` for a file with a secret that others than its owner may read or write."""
    if os.name == "posix" and mode & 0o077:
        raise ProvenanceError(
            f"The {what} {path} may be read or changed by others (mode {mode & 0o777:04o}).",
            code="key.permissions",
            hint=f"If nobody has taken it, close it with: chmod 600 {path}",
        )


def load_key(pem: bytes, passphrase: str | None = None) -> PrivateKey:
    """A PEM private key.

    Raises:
        ProvenanceError: ``key.passphrase`` or ``key.unreadable`` or ``key.algorithm``.
    """
    secret = passphrase.encode() if passphrase else None
    try:
        key = serialization.load_pem_private_key(pem, secret)
    except TypeError as error:
        if secret is not None:
            return load_key(pem)
        raise ProvenanceError(
            "The private key is protected by a passphrase.",
            code="key.passphrase",
            hint="Give it in the environment variable COUNTERMARK_PASSPHRASE.",
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        code = "key.passphrase" if secret is not None else "key.unreadable"
        raise ProvenanceError(
            "The private key cannot be read" + (" with this passphrase." if secret else "."),
            code=code,
            hint="Check the passphrase and that the file is a PEM private key.",
        ) from error
    algorithm_of(key)
    return key  # type: ignore[return-value]


def key_to_pem(key: PrivateKey, passphrase: str | None = None) -> bytes:
    """PKCS#8 PEM, encrypted when a passphrase is given."""
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        encryption = serialization.BestAvailableEncryption(passphrase.encode())
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def to_pem(*certificates: x509.Certificate) -> str:
    """Certificates as one PEM text, in the order given."""
    return "".join(each.public_bytes(serialization.Encoding.PEM).decode() for each in certificates)


def _ca_hash(key: Any) -> _Hash | None:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return None
    return _HASHES[algorithm_of(key)[2:]]


def _name(common_name: str, organization: str, country: str | None = None) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])]
    parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization[:64]))
    if country:
        parts.append(x509.NameAttribute(NameOID.COUNTRY_NAME, country))
    return x509.Name(parts)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: Any,
    days: int,
    until: datetime.datetime | None = None,
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=5)
    end = now + datetime.timedelta(days=days)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(min(end, until) if until else end)
    )


def _usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )
