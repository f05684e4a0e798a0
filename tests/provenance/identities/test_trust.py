"""Trust lists: PEM, JSON with date and source, allowed uses, the configured folder, changes seen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from countermark.core.errors import ProvenanceError
from countermark.core.results import VerificationState as State
from countermark.provenance.credentials.signing import sign_bytes
from countermark.provenance.credentials.verification import verify_image
from countermark.provenance.identities import certificates as certs
from countermark.provenance.identities.identity import Identity
from countermark.provenance.identities.store import create_identity
from countermark.provenance.identities.trust import TrustList, default_trust, merge, resolve_trust

DOCUMENT = "1.3.6.1.5.5.7.3.36"


def listed(anchor: str, **facts) -> str:
    return json.dumps({"schema": "countermark/trust-list/1", "name": "test", "anchors": [anchor], **facts})


def test_configured_folder_counts_and_changes_are_seen(home: Path, encoded, foreign):
    identity, anchor = foreign
    signed = sign_bytes(encoded("png"), identity=identity).data
    assert verify_image(signed).state is State.INTACT
    folder = home / "trust"
    folder.mkdir(parents=True)
    (folder / "readme.txt").write_text("not a list")
    (folder / "elsewhere.pem").write_text(anchor)
    assert verify_image(signed).state is State.TRUSTED
    (folder / "elsewhere.pem").unlink()
    assert verify_image(signed).state is State.INTACT
    (folder / "broken.pem").write_text("nothing")
    with pytest.raises(ProvenanceError) as caught:
        verify_image(signed)
    assert caught.value.code == "trust.unreadable"


def test_own_authority_is_in_the_default(home: Path):
    assert default_trust().anchors_pem == ""
    create_identity("default")
    assert "BEGIN CERTIFICATE" in default_trust().anchors_pem


def test_other_uses_count_where_the_list_names_them(home: Path, encoded, make_chain):
    chain, key, anchor = make_chain(eku=[DOCUMENT])
    private = certs.load_key(key)
    identity = Identity("documents", "es256", chain, _key=private)
    with pytest.raises(ProvenanceError) as caught:
        sign_bytes(encoded("png"), identity=identity)
    assert "named in the trust list" in caught.value.message
    (home / "trust").mkdir(parents=True)
    (home / "trust" / "documents.json").write_text(listed(anchor, ekus=[DOCUMENT], date="2026-01-31"))
    signed = sign_bytes(encoded("png"), identity=identity).data
    assert verify_image(signed).state is State.TRUSTED
    assert verify_image(signed, trust=anchor).state is not State.TRUSTED


@pytest.mark.parametrize(
    "facts", [{"ekus": ["email"]}, {"schema": "other"}, {"anchors": [1]}, {"anchors": "x"}, {"ekus": [["a"]]}]
)
def test_malformed_lists_are_typed_errors(foreign, facts):
    with pytest.raises(ProvenanceError) as caught:
        TrustList.parse(listed(foreign[1], **facts).encode())
    assert caught.value.code == "trust.unreadable"


def test_missing_file_is_a_typed_error(tmp_path: Path):
    with pytest.raises(ProvenanceError) as caught:
        resolve_trust(tmp_path / "none.pem")
    assert caught.value.code == "trust.missing"


def test_merged_lists_keep_everything(foreign):
    one = TrustList("a", foreign[1], "s1", "2025-01-01", ("1.2.3",))
    two = TrustList("b", "", "s2", "2026-01-01", ("1.2.3", "1.2.4"))
    both = merge([one, two])
    assert (both.name, both.source, both.date, both.ekus) == (
        "a, b",
        "s1, s2",
        "2026-01-01",
        ("1.2.3", "1.2.4"),
    )
    assert resolve_trust([]).name == "nobody"
