"""Trust lists: PEM, JSON with date and source, allowed uses, the configured folder, changes seen."""

from __future__ import annotations

import base64
import datetime
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
from countermark.provenance.identities.trust import (
    C2PA_LIST,
    C2PA_TIMESTAMP_LIST,
    TrustList,
    bundled,
    default_lists,
    default_trust,
    merge,
    resolve_trust,
    update_trust,
)

OTHER = "1.3.6.1.4.1.99999.7.1"


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
    assert [each.name for each in default_lists()] == ["C2PA Trust List", "C2PA TSA Trust List"]
    create_identity("default")
    own = default_lists()[0]
    assert own.name == "development authority" and own.anchors_pem in default_trust().anchors_pem


def test_uses_that_c2pa_does_not_know_count_where_the_list_names_them(home: Path, encoded, make_chain):
    chain, key, anchor = make_chain(eku=[OTHER])
    private = certs.load_key(key)
    identity = Identity("other", "es256", chain, _key=private)
    with pytest.raises(ProvenanceError) as caught:
        sign_bytes(encoded("png"), identity=identity)
    assert caught.value.code == "signing.refused"
    (home / "trust").mkdir(parents=True)
    (home / "trust" / "other.json").write_text(listed(anchor, ekus=[OTHER], date="2026-01-31"))
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


def official(
    *anchors: str, name: str = C2PA_LIST, date: str = "2026-09-01T00:00:00Z", status: str = "trusted"
) -> str:
    """A list in the form of ETSI TS 119 602, as C2PA issues it."""
    services = [
        {
            "ServiceInformation": {
                "ServiceName": [{"lang": "en", "value": "Issuing CA"}],
                "ServiceDigitalIdentity": {"X509Certificates": [{"val": _der(each)}]},
                "ServiceStatus": f"http://c2pa.org/conformance/trust-list/{status}",
            }
        }
        for each in anchors
    ]
    head = {
        "SchemeName": [{"lang": "en", "value": name}],
        "ListIssueDateTime": date,
        "NextUpdate": "2027-09-01T00:00:00Z",
    }
    entities = [{"TrustedEntityServices": services}]
    return json.dumps({"LoTE": {"ListAndSchemeInformation": head, "TrustedEntitiesList": entities}})


def _der(pem: str) -> str:
    return base64.b64encode(certs.load_chain(pem)[0].public_bytes(certs.serialization.Encoding.DER)).decode()


def test_the_official_form_is_read(encoded, foreign):
    identity, anchor = foreign
    signed = sign_bytes(encoded("png"), identity=identity).data
    found = TrustList.parse(official(anchor).encode())
    assert (found.name, found.size, found.date[:10]) == (C2PA_LIST, 1, "2026-09-01")
    assert verify_image(signed, trust=found).state is State.TRUSTED
    withdrawn = official(anchor, status="withdrawn").encode()
    for bad in (withdrawn, b'{"LoTE": {}}', b'{"LoTE": []}', official(anchor).replace("MII", "!!!").encode()):
        with pytest.raises(ProvenanceError) as caught:
            TrustList.parse(bad)
        assert caught.value.code == "trust.unreadable"


def test_authorities_for_time_stamps_vouch_for_no_picture(encoded, foreign):
    """The library knows one list only; who may prove a time must not vouch for a picture."""
    identity, anchor = foreign
    signed = sign_bytes(encoded("png"), identity=identity).data
    stamps = TrustList.parse(official(anchor, name=C2PA_TIMESTAMP_LIST).encode())
    assert stamps.anchors_pem == "" and stamps.timestamps_pem
    result = verify_image(signed, trust=stamps)
    assert result.state is State.INTACT
    assert [p.code for p in result.problems] == ["signingCredential.untrusted"]
    assert verify_image(signed, trust=[stamps, anchor]).state is State.TRUSTED


def test_the_lists_that_come_along_are_whole_and_dated():
    signers, stamps = bundled()
    assert (signers.name, stamps.name) == (C2PA_LIST, C2PA_TIMESTAMP_LIST)
    assert signers.size == 30 and not signers.timestamps_pem and signers.identity_anchors == ""
    assert stamps.size == 22 and not stamps.anchors_pem
    for each in bundled():
        pem = each.anchors_pem + each.timestamps_pem
        assert certs.to_pem(*certs.load_chain(pem)) == pem
        assert each.date.startswith("2026-08-05") and "conformance-public" in each.source
        assert each.outdated(datetime.date(2027, 8, 5)) == ""
        assert "keys trust update" in each.outdated(datetime.date(2027, 8, 6))


def test_an_update_takes_the_place_of_what_came_along(home: Path, foreign, tmp_path: Path, encoded):
    identity, anchor = foreign
    signed = sign_bytes(encoded("png"), identity=identity).data
    newer, older = tmp_path / "C2PA-TRUST-LIST.json", tmp_path / "old.json"
    newer.write_text(official(anchor))
    older.write_text(official(anchor, date="2026-08-20T00:00:00Z"))
    new, path = update_trust(newer)
    assert new.size == 1 and path.parent == home / "trust"
    lists = {each.name: each for each in default_lists()}
    assert lists[C2PA_LIST].size == 1 and lists[C2PA_TIMESTAMP_LIST].size == 22
    assert verify_image(signed).state is State.TRUSTED
    with pytest.raises(ProvenanceError) as caught:
        update_trust(older)
    assert caught.value.code == "trust.older"
    with pytest.raises(ProvenanceError):
        update_trust(Path(__file__))


def test_a_list_without_a_next_date_is_old_after_400_days(foreign):
    dated = TrustList("x", foreign[1], date="2025-01-01")
    assert dated.outdated(datetime.date(2026, 1, 1)) == "" and dated.outdated(datetime.date(2026, 6, 1))
    assert TrustList("x", foreign[1]).outdated() == ""
