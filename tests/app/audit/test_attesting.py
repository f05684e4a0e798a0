"""Signed statements of audits: good ones are read, changed ones refused, strangers not believed."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from countermark.app.audit.attesting import attest, check_statement
from countermark.core.errors import CountermarkError, ProvenanceError
from countermark.core.images import write_image
from countermark.core.results import AuditReport, CheckResult, Interval, Outcome
from countermark.provenance.identities.envelopes import seal, unseal
from countermark.provenance.identities.lifecycle import revoke_identity
from countermark.provenance.identities.store import create_identity, get_identity
from countermark.provenance.identities.trust import resolve_trust
from countermark.reports import audit_document
from countermark.reports.canonical import dumps

CHECK = CheckResult("detector.auroc", "Ranks", Outcome.PASS, "", interval=Interval(0.9, 0.8, 0.95, 100))
REPORT = audit_document(
    AuditReport("p", {"kind": "detector", "name": "m", "sha256": "cd" * 32}, (CHECK,), True, 0)
)


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERMARK_HOME", str(tmp_path / "home"))


@pytest.mark.parametrize("algorithm", ["es256", "es384", "es512", "ps256", "ed25519"])
def test_every_kind_of_key_signs_and_is_checked(algorithm: str) -> None:
    create_identity("desk", algorithm=algorithm)
    found = check_statement(attest(REPORT, "desk"), report=dumps(REPORT).encode())
    assert found.trusted and found.fits and found.result == "PASSED" and "desk" in found.signer
    assert found.subjects == {"m": "cd" * 32}
    other = check_statement(attest(REPORT, "desk"), report=b"{}", trust=[])
    assert not other.trusted and other.fits is False and "trust list" in other.problem


def test_the_signature_is_what_other_libraries_check() -> None:
    """DSSE's pre-authentication encoding, DER for ECDSA: recomputed from its description."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    envelope = json.loads(attest(REPORT))
    entry = envelope["signatures"][0]
    body = base64.b64decode(envelope["payload"])
    kind = envelope["payloadType"]
    signed = f"DSSEv1 {len(kind)} {kind} {len(body)} ".encode() + body
    certificate = x509.load_pem_x509_certificate(base64.b64decode(entry["certificate"]))
    certificate.public_key().verify(base64.b64decode(entry["sig"]), signed, ec.ECDSA(hashes.SHA256()))


def test_what_was_changed_is_refused() -> None:
    envelope = json.loads(attest(REPORT))
    statement = json.loads(base64.b64decode(envelope["payload"]))
    statement["predicate"]["result"] = "PASSED!"
    envelope["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    with pytest.raises(ProvenanceError) as caught:
        check_statement(json.dumps(envelope).encode())
    assert caught.value.code == "envelope.signature"


def test_a_revoked_identity_vouches_for_nothing() -> None:
    create_identity("desk")
    sealed = attest(REPORT, "desk")
    revoke_identity("desk", "lost")
    found = check_statement(sealed)
    assert not found.trusted and "revoked" in found.problem


def test_expired_certificates_are_told() -> None:
    import datetime

    sealed = attest(REPORT)
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=4000)
    opened = unseal(sealed, resolve_trust(None), later)
    assert not opened.trusted and "not valid today" in opened.problem


def test_another_signed_thing_is_no_statement() -> None:
    for payload, kind in ((b"{}", "application/vnd.in-toto+json"), (b"x", "text/plain"), (b"[1]", "a")):
        with pytest.raises(ProvenanceError) as caught:
            check_statement(seal(payload, kind, get_identity("default")))
        assert caught.value.code == "statement.unknown"


@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_any_bytes_are_refused_with_a_reason(data: st.DataObject) -> None:
    whole = _SEALED.setdefault("envelope", attest(REPORT))
    made = data.draw(st.one_of(st.binary(max_size=200), st.just(whole)))
    if made == whole:
        at = data.draw(st.integers(0, len(whole) - 1))
        made = whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :]
    try:
        found = check_statement(made)
    except CountermarkError as error:
        assert error.code in ("envelope.unreadable", "envelope.signature", "statement.unknown")
    else:  # the change lay in white space, in the name of the key, or in a certificate above
        assert found.content["subject"][0]["digest"] == {"sha256": "cd" * 32}


_SEALED: dict[str, bytes] = {}


def test_the_command_line_writes_and_checks(tmp_path: Path) -> None:
    from countermark.cli.audit import app

    write_image(tmp_path / "out" / "a.png", np.zeros((16, 16, 3), np.uint8))
    (tmp_path / "p.toml").write_text(
        'schema = "countermark.policy/1"\nname = "p"\n[subject]\nkind = "pipeline"\nname = "s"\n'
        '[evidence.out]\nfolder = "out"\n[[checks]]\nid = "pipeline.readable"\nevidence = "out"\n'
    )
    report, statement = tmp_path / "r.json", tmp_path / "s.json"
    arguments = ["run", str(tmp_path / "p.toml"), "-o", f"json={report}", "--statement", str(statement)]
    runner = CliRunner()
    assert runner.invoke(app, arguments, standalone_mode=False).return_value == 0
    assert json.loads(statement.read_text())["payloadType"] == "application/vnd.in-toto+json"
    checked = runner.invoke(
        app, ["check-statement", str(statement), "--report", str(report)], standalone_mode=False
    )
    assert checked.return_value == 0 and "It is of this report." in checked.output
    report.write_text(report.read_text().replace('"passed": true', '"passed": false'))
    checked = runner.invoke(
        app, ["check-statement", str(statement), "--report", str(report)], standalone_mode=False
    )
    assert checked.return_value == 1 and "It is not of this report." in checked.output
    before = statement.read_bytes()
    assert runner.invoke(app, arguments, standalone_mode=False).return_value == 4
    assert statement.read_bytes() == before  # nothing is overwritten
