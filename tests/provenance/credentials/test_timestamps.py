"""Time-stamps from an authority that the test runs itself, with openssl."""

from __future__ import annotations

import http.server
import io
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import c2pa
import pytest
from cryptography import x509

from countermark.core.errors import ProvenanceError
from countermark.core.results import VerificationState as State
from countermark.provenance.credentials.contexts import MIME, context
from countermark.provenance.credentials.signing import sign_bytes
from countermark.provenance.credentials.softbinding import SoftBinding
from countermark.provenance.credentials.verification import verify_image
from countermark.provenance.identities import certificates as certs
from countermark.provenance.identities.authority import authority_pem
from countermark.provenance.identities.identity import Identity
from countermark.provenance.identities.lifecycle import revoke_identity
from countermark.provenance.identities.store import create_identity
from countermark.provenance.source_types import expand

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")

CONFIG = """[tsa]
default_tsa = one
[one]
serial = {folder}/serial
crypto_device = builtin
signer_cert = {folder}/leaf.pem
certs = {folder}/ca.pem
signer_key = {folder}/key.pem
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
accuracy = secs:1
ess_cert_id_alg = sha256
"""
EXTENSIONS = """basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


@dataclass
class Authority:
    url: str
    anchor: str
    chain: str
    key: bytes
    requests: list[bytes]


@pytest.fixture(scope="module")
def tsa(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    folder = tmp_path_factory.mktemp("tsa")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *curve, "-keyout", "ca-key.pem", "-out", "ca.pem", "-subj", "/CN=Time CA/O=T")
    openssl("req", *curve, "-keyout", "key.pem", "-out", "leaf.csr", "-subj", "/CN=Time/O=T")
    (folder / "ext").write_text(EXTENSIONS)
    issue = ("-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial", "-extfile", "ext", "-days", "20")
    openssl("x509", "-req", "-in", "leaf.csr", *issue, "-out", "leaf.pem")
    (folder / "serial").write_text("01")
    (folder / "tsa.cnf").write_text(CONFIG.format(folder=folder))
    requests: list[bytes] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["Content-Length"]))
            requests.append(query)
            (folder / "query").write_bytes(query)
            openssl("ts", "-reply", "-config", "tsa.cnf", "-queryfile", "query", "-out", "reply")
            reply = (folder / "reply").read_bytes()
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    leaf = (folder / "leaf.pem").read_text()
    anchor = (folder / "ca.pem").read_text()
    yield Authority(
        f"http://127.0.0.1:{server.server_port}/",
        anchor,
        leaf + anchor,
        (folder / "key.pem").read_bytes(),
        requests,
    )
    server.shutdown()
    server.server_close()


def test_time_is_proven_when_the_authority_is_trusted(encoded, tsa):
    signed = sign_bytes(encoded("png"), timestamp_url=tsa.url)
    assert len(tsa.requests) == 1
    result = verify_image(signed.data, trust=[authority_pem(), tsa.anchor])
    assert result.state is State.TRUSTED and result.problems == ()
    assert result.chain[0].time is not None and result.chain[0].time.startswith("20")


def test_unknown_time_authority_is_a_notice_only(encoded, tsa):
    result = verify_image(sign_bytes(encoded("png"), timestamp_url=tsa.url).data)
    assert result.state is State.TRUSTED
    assert [(each.code, each.severity) for each in result.problems] == [("timeStamp.untrusted", "notice")]


def test_certificate_that_expired_later(encoded, tsa, make_chain):
    import datetime

    chain, key, anchor = make_chain(starts=datetime.timedelta(seconds=3, days=-1), days=1)
    private = certs.load_key(key)
    identity = Identity("short", "es256", chain, _key=private)
    stamped = sign_bytes(encoded("png"), identity=identity, timestamp_url=tsa.url)
    plain = sign_bytes(encoded("png"), identity=identity)
    end = x509.load_pem_x509_certificate(chain.encode()).not_valid_after_utc
    time.sleep(max(0.0, (end - datetime.datetime.now(datetime.UTC)).total_seconds() + 1.1))
    assert verify_image(stamped.data, trust=[anchor, tsa.anchor]).state is State.TRUSTED
    result = verify_image(plain.data, trust=[anchor, tsa.anchor])
    assert result.state is State.INVALID
    assert "signingCredential.expired" in [each.code for each in result.problems]


def test_revoked_after_a_trusted_time_stamp_still_holds(home, encoded, tsa):
    create_identity("desk", timestamp_url=tsa.url)
    trust = [authority_pem(), tsa.anchor]
    before = sign_bytes(encoded("png"), identity="desk")
    time.sleep(1.1)
    revoke_identity("desk")
    assert verify_image(before.data, trust=trust).state is State.TRUSTED
    assert verify_image(before.data).state is State.INVALID  # time not proven: authority not trusted


def test_authority_that_is_down_is_named(encoded):
    with pytest.raises(ProvenanceError) as caught:
        sign_bytes(encoded("png"), timestamp_url="http://127.0.0.1:9/")
    assert caught.value.code == "signing.timestamp" and "127.0.0.1:9" in caught.value.message


@pytest.mark.parametrize("algorithm", ["es256", "ps256", "ed25519"])
@pytest.mark.parametrize("format", ["png", "jpeg"])
def test_soft_bindings_and_a_time_stamp(home, encoded, tsa, algorithm, format):
    create_identity("one", algorithm=algorithm, timestamp_url=tsa.url)
    before = len(tsa.requests)
    signed = sign_bytes(
        encoded(format), identity="one", soft_bindings=[SoftBinding("org.countermark.tile.1", b"12345678")]
    )
    assert len(tsa.requests) == before + 1
    assert b"\x65value\x4812345678" in signed.manifest
    result = verify_image(signed.data, trust=[authority_pem(), tsa.anchor])
    assert result.state is State.TRUSTED and result.problems == ()
    assert result.chain[0].time is not None
    with c2pa.Reader(MIME[format], io.BytesIO(signed.data), context=context(tsa.anchor)) as reader:
        codes = [each["code"] for each in reader.get_validation_results()["activeManifest"]["success"]]
    assert "timeStamp.validated" in codes and "timeStamp.trusted" in codes


@pytest.mark.parametrize(
    "reply",
    [b"", b"hello", b"\x30\x05\x30\x03\x02\x01\x02", b"\x30\x08\x30\x03\x02\x01\x00\x30\x01\x00", None],
)
def test_answers_that_are_no_time_stamps(encoded, reply):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200 if reply is not None else 302)
            self.send_header("Location", "http://127.0.0.1:9/")
            self.send_header("Content-Length", str(len(reply or b"")))
            self.end_headers()
            self.wfile.write(reply or b"")

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/"
    try:
        for bindings in ((), (SoftBinding("org.countermark.tile.1", b"12345678"),)):
            with pytest.raises(ProvenanceError) as caught:
                sign_bytes(encoded("png"), timestamp_url=url, soft_bindings=bindings)
            assert caught.value.code == "signing.timestamp"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("format", ["png", "jpeg", "webp", "gif", "tiff", "avif"])
def test_time_stamping_certificate_may_not_sign_images(encoded, tsa, format):
    """The library calls this Trusted; the guard does not."""
    identity = Identity("clock", "es256", tsa.chain, _key=certs.load_key(tsa.key))
    with pytest.raises(ProvenanceError, match="must not sign images"):
        sign_bytes(encoded(format), identity=identity)
    action = {"action": "c2pa.created", "digitalSourceType": expand("digitalArt")}
    manifest = {"assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}]}
    output = io.BytesIO()
    with c2pa.Builder(manifest, context=context()) as builder:
        builder.sign(identity.native_signer(), MIME[format], io.BytesIO(encoded(format)), output)
    with c2pa.Reader(MIME[format], io.BytesIO(output.getvalue()), context=context(tsa.anchor)) as reader:
        assert reader.get_validation_state() == "Trusted"
    result = verify_image(output.getvalue(), trust=tsa.anchor)
    assert result.state is State.INVALID
    assert result.problems[0].code == "countermark.signer.timestampOnly"
