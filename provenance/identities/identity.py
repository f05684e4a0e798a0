"""An identity: a certificate chain and a way to sign with it, by a key held here or elsewhere.

>>> from countermark.provenance.identities.identity import external_identity
>>> kms = external_identity("kms", "es256", chain, sign=ask_the_kms)   # doctest: +SKIP
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from countermark.core.errors import ProvenanceError
from countermark.provenance.identities.certificates import (
    PrivateKey,
    algorithm_of,
    check_algorithm,
    key_to_pem,
    load_chain,
    sign_with,
)

if TYPE_CHECKING:
    import c2pa

SignCallback = Callable[[bytes], bytes]
_SIZES = {"es256": 64, "es384": 96, "es512": 132}


@dataclass
class Identity:
    """A signing identity.

    Attributes:
        name: What it is called here.
        algorithm: ``es256``, ``es384``, ``es512``, ``ps256``, ``ps384``, ``ps512`` or ``ed25519``.
        chain_pem: PEM certificates, the signing certificate first.
        kind: ``development``, ``imported`` or ``external``.
        timestamp_url: RFC 3161 authority asked for every signature, or None.
    """

    name: str
    algorithm: str
    chain_pem: str
    kind: str = "imported"
    timestamp_url: str | None = None
    _key: PrivateKey | None = field(default=None, repr=False)
    _callback: SignCallback | None = field(default=None, repr=False)
    _signers: dict[tuple[int, str | None], Any] = field(default_factory=dict, repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @property
    def external(self) -> bool:
        """Whether the private key is held elsewhere."""
        return self._callback is not None

    @property
    def signature_size(self) -> int:
        """Length of a COSE signature of this identity, in bytes."""
        if self.algorithm == "ed25519":
            return 64
        known = _SIZES.get(self.algorithm)
        if known is not None:
            return known
        return (int(getattr(load_chain(self.chain_pem)[0].public_key(), "key_size", 2048)) + 7) // 8

    def sign(self, data: bytes) -> bytes:
        """The COSE signature of ``data``: r||s for ECDSA.

        Raises:
            ProvenanceError: ``key.missing``, or ``key.callback`` when an external signer fails.
        """
        if self._key is not None:
            return sign_with(self._key, self.algorithm, data)
        if self._callback is None:
            raise ProvenanceError(
                f"The identity {self.name!r} has no private key.",
                code="key.missing",
                hint="Import the certificate together with its key.",
            )
        try:
            return _raw_signature(self._callback(data), self.algorithm)
        except ProvenanceError:
            raise
        except Exception as error:
            raise ProvenanceError(
                f"The external signer of {self.name!r} failed ({type(error).__name__}: {error}).",
                code="key.callback",
                hint="Check that the key service can be reached and that the key may sign.",
            ) from error

    def native_signer(self) -> c2pa.Signer:
        """A c2pa signer with the key inside (fast), shared by threads; made once."""
        with self._lock:
            key = (os.getpid(), self.timestamp_url)  # the library's objects do not survive a fork
            signer = self._signers.get(key)
            if signer is None:
                signer = self._signers[key] = self._make_signer()
            return signer

    def callback_signer(self, sign: SignCallback, *, timestamp: bool = True) -> c2pa.Signer:
        """A c2pa signer that calls ``sign`` with the bytes to be signed; for one use."""
        import c2pa

        algorithm = c2pa.C2paSigningAlg[self.algorithm.upper()]
        url = self.timestamp_url if timestamp else None
        return c2pa.Signer.from_callback(sign, algorithm, self.chain_pem, url)

    def _make_signer(self) -> c2pa.Signer:
        import c2pa

        if self._key is None:
            return self.callback_signer(self.sign)
        url = self.timestamp_url.encode() if self.timestamp_url else None
        info = c2pa.C2paSignerInfo(
            self.algorithm.encode(), self.chain_pem.encode(), key_to_pem(self._key), url
        )
        return c2pa.Signer.from_info(info)


def external_identity(
    name: str,
    algorithm: str,
    chain_pem: str | bytes,
    sign: SignCallback,
    *,
    timestamp_url: str | None = None,
) -> Identity:
    """An identity whose key lives in a KMS, an HSM or a smart card.

    Args:
        name: What to call it in results.
        algorithm: See ``Identity``.
        chain_pem: The certificate chain, signing certificate first.
        sign: Gets the bytes to be signed and returns the signature. ECDSA may be DER or r||s.
        timestamp_url: RFC 3161 authority, or None.

    Raises:
        ProvenanceError: when the chain cannot be read or does not fit the algorithm.
    """
    text = chain_pem.decode() if isinstance(chain_pem, bytes) else chain_pem
    check_matches(text, algorithm)
    return Identity(name, check_algorithm(algorithm), text, "external", timestamp_url, None, sign)


def check_matches(chain_pem: str, algorithm: str) -> None:
    """Refuses an algorithm that does not fit the leaf's key (``key.mismatch``)."""
    leaf_algorithm = algorithm_of(load_chain(chain_pem)[0].public_key())
    name = check_algorithm(algorithm)
    if leaf_algorithm != name and not (leaf_algorithm == "ps256" and name.startswith("ps")):
        raise ProvenanceError(
            f"The certificate's key signs with {leaf_algorithm}, not with {name}.",
            code="key.mismatch",
            hint=f"Use the algorithm {leaf_algorithm}, or another certificate.",
        )


def _raw_signature(signature: bytes, algorithm: str) -> bytes:
    size = _SIZES.get(algorithm)
    if size is None or len(signature) == size or not signature.startswith(b"\x30"):
        return signature
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    r, s = decode_dss_signature(signature)
    return r.to_bytes(size // 2, "big") + s.to_bytes(size // 2, "big")
