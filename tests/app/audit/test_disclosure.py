"""What credentials disclose, which labels files hold, and which marks an export keeps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from countermark.app.audit import audit, explain
from countermark.app.audit.checks import CHECKS
from countermark.app.audit.checks.disclosure import facts
from countermark.app.audit.explaining import explain_law
from countermark.app.audit.ready import kept_policy
from countermark.app.rooms import Rooms
from countermark.core.errors import UnknownNameError
from countermark.core.images import encode_image, write_image
from countermark.core.results import ChainLink, Outcome, Verification, VerificationState
from countermark.provenance.metadata.labels import Label, aigc_fields, labelled_packet
from countermark.provenance.metadata.writing import with_xmp
from countermark.provenance.watermark import Reading
from countermark.reports.claims import CLAIMS, LAWS

POLICY = """
schema = "countermark.policy/1"
name = "Outputs"
[subject]
kind = "pipeline"
name = "signer"
[evidence.out]
folder = "out"
[[checks]]
id = "{check}"
evidence = "out"
{options}
"""
WHOLE = ChainLink(
    label="urn:c2pa:1",
    title="a",
    generator="signer 1",
    signer="key",
    issuer="Studio",
    time="2026-11-28T10:00:00Z",
    relationship=None,
    state="intact",
    actions=({"action": "c2pa.created", "softwareAgent": {"name": "model", "version": "1"}},),
)


def verification(link: ChainLink, **options: Any) -> Verification:
    return Verification("", VerificationState.INTACT, chain=(link,), **options)


def judged(tmp_path: Path, check: str, options: str = "", **rooms: Any) -> Any:
    (tmp_path / "policy.toml").write_text(POLICY.format(check=check, options=options))
    return audit(tmp_path / "policy.toml", rooms=Rooms(**rooms)).checks[0]


def files(tmp_path: Path, *names: str) -> None:
    for number, name in enumerate(names):
        write_image(tmp_path / "out" / name, np.full((16, 16, 3), number, np.uint8))


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({}, ""),
        ({"issuer": None}, "no provider"),
        ({"time": None}, "no time"),
        ({"actions": ()}, "no system, no version"),
        ({"actions": ({"action": "c2pa.created", "softwareAgent": "model"},)}, "no version"),
    ],
)
def test_every_fact_is_asked_for(change: dict[str, Any], missing: str, tmp_path: Path) -> None:
    files(tmp_path, "0.png")
    link = replace(WHOLE, **change)
    found = judged(tmp_path, "pipeline.identified", verify=lambda path: verification(link))
    assert found.outcome == (Outcome.FAIL if missing else Outcome.PASS)
    assert [row["why"] for row in found.detail["first"]] == ([missing] if missing else [])


def test_an_identifier_belongs_to_one_file(tmp_path: Path) -> None:
    files(tmp_path, "0.png", "1.png")
    found = judged(tmp_path, "pipeline.identified", verify=lambda path: verification(WHOLE))
    assert found.outcome == Outcome.FAIL and found.detail["failing"] == 2
    other = judged(
        tmp_path,
        "pipeline.identified",
        'require = ["provider"]\nprovider = "Studio"',
        verify=lambda path: verification(WHOLE),
    )
    assert other.outcome == Outcome.PASS
    wrong = judged(
        tmp_path, "pipeline.identified", 'provider = "Nobody"', verify=lambda path: verification(WHOLE)
    )
    assert wrong.outcome == Outcome.FAIL


def test_facts_come_from_the_action_the_model_and_what_was_said_of_time() -> None:
    action = {"action": "c2pa.created", "softwareAgent": "model/2", "when": "2026-01-01T00:00:00Z"}
    found = facts(verification(replace(WHOLE, time=None, actions=(action,))))
    assert (found["system"], found["version"], found["time"]) == ("model", "2", "2026-01-01T00:00:00Z")
    manifest = {"assertions": [{"label": "org.countermark.model", "data": {"name": "net", "version": "3"}}]}
    found = facts(verification(replace(WHOLE, actions=()), manifest=manifest))
    assert (found["system"], found["version"]) == ("net", "3")
    edited = ({"action": "c2pa.opened"}, {"action": "c2pa.edited", "softwareAgent": "tool/1"})
    assert facts(verification(replace(WHOLE, actions=edited)))["system"] == ""  # what it did is not said
    assert not any(facts(Verification("", VerificationState.ABSENT)).values())


def test_what_we_sign_gives_every_fact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from countermark.app.sign import sign

    monkeypatch.setenv("COUNTERMARK_HOME", str(tmp_path / "home"))
    write_image(tmp_path / "a.png", np.zeros((32, 32, 3), np.uint8))
    (tmp_path / "out").mkdir()
    sign(tmp_path / "a.png", tmp_path / "out" / "b.png", generator="model/1", label=True, record=False)
    assert judged(tmp_path, "pipeline.identified").outcome == Outcome.PASS
    assert judged(tmp_path, "pipeline.labelled").outcome == Outcome.PASS


@pytest.mark.parametrize(
    ("label", "options", "missing"),
    [
        (Label("trainedAlgorithmicMedia", aigc=aigc_fields("a", "1")), "", ""),
        (Label("trainedAlgorithmicMedia"), "", "no aigc label"),
        (Label("trainedAlgorithmicMedia"), 'labels = ["iptc"]', ""),
        (Label("digitalCapture", aigc=aigc_fields("a", "1")), "", "no iptc label"),
        (Label(aigc=aigc_fields("a", "")), 'labels = ["aigc"]', "no aigc label"),
        (Label(aigc={**aigc_fields("a", "1"), "Label": "yes"}), 'labels = ["aigc"]', "no aigc label"),
    ],
)
def test_labels_are_asked_for(label: Label, options: str, missing: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    plain = encode_image(np.zeros((16, 16, 3), np.uint8), "png")
    (tmp_path / "out" / "0.png").write_bytes(with_xmp(plain, "png", labelled_packet(label)))
    found = judged(tmp_path, "pipeline.labelled", options)
    assert found.outcome == (Outcome.FAIL if missing else Outcome.PASS)
    assert [row["why"] for row in found.detail["first"]] == ([missing] if missing else [])


class Marks:
    """Rooms in which the red channel says what a file carries: 1 credential, 2 watermark."""

    def verify(self, path: Path) -> Verification:
        from countermark.core.images import read_image

        signed = read_image(path).pixels[0, 0, 0] & 1
        state = VerificationState.INTACT if signed else VerificationState.ABSENT
        return Verification(str(path), state, digital_source_type="trainedAlgorithmicMedia")

    def read_mark(self, pixels: np.ndarray) -> Reading:
        payload = bytes(7) + bytes([pixels[0, 0, 1]]) if pixels[0, 0, 0] & 2 else None
        return Reading(payload, 1e-12 if payload else 1.0, "test")


def kept(tmp_path: Path, **options: Any) -> Any:
    marks = Marks()
    policy = kept_policy(tmp_path / "before", tmp_path / "after", **options)
    return audit(policy, rooms=Rooms(verify=marks.verify, read_mark=marks.read_mark)).checks[0]


def put(path: Path, carries: int, number: int = 0) -> None:
    write_image(path, np.full((16, 16, 3), (carries, number, 0), np.uint8))


def test_an_export_is_held_against_what_went_in(tmp_path: Path) -> None:
    for number in range(50):
        put(tmp_path / "before" / "a" / f"{number}.png", 3, number)
        if number:  # the first is missing
            put(tmp_path / "after" / "a" / f"{number}.tif", 2, number if number > 1 else 9)
    found = kept(tmp_path)
    rows = {row["mark"]: (row["before"], row["kept"]) for row in found.detail["marks"]}
    assert rows == {"credential": (50, 0), "declaration": (50, 0), "watermark": (50, 48), "metadata": (0, 0)}
    assert found.outcome == Outcome.FAIL and found.detail["missing"] == ["a/0"]
    watermark = next(row for row in found.detail["slices"] if row["slice"] == "watermark")
    interval = watermark["interval"]
    assert interval.value == 0.96 and 0.85 < interval.low < 0.9 and 0.99 < interval.high < 1
    only = kept(tmp_path, marks=["watermark"], at_least=0.8)
    assert only.outcome == Outcome.PASS and "watermark 48 of 50" in only.sentence
    assert kept(tmp_path, marks=["watermark"], at_least=0.9).outcome == Outcome.INCONCLUSIVE


def test_what_carried_no_mark_keeps_none(tmp_path: Path) -> None:
    put(tmp_path / "before" / "0.png", 0)
    put(tmp_path / "after" / "0.png", 3)
    assert kept(tmp_path).outcome == Outcome.SKIPPED
    (tmp_path / "before" / "0.png").unlink()
    assert kept(tmp_path).outcome == Outcome.SKIPPED


def test_an_unknown_mark_or_text_names_the_known_ones() -> None:
    with pytest.raises(UnknownNameError) as caught:
        kept_policy("a", "b", marks=["credentials"])
    assert "credential" in str(caught.value)
    with pytest.raises(UnknownNameError) as caught:
        explain_law("eu")
    assert "eu-code" in str(caught.value)


def test_the_command_kept(tmp_path: Path) -> None:
    from countermark.cli.audit import app

    for name in ("before", "after"):
        write_image(tmp_path / name / "0.png", np.zeros((16, 16, 3), np.uint8))
    result = CliRunner().invoke(
        app, ["kept", "--before", str(tmp_path / "before"), "--after", str(tmp_path / "after"), "--json"],
        standalone_mode=False,
    )  # fmt: skip
    assert result.return_value == 3 and '"id": "pipeline.kept"' in result.output


@pytest.mark.parametrize("name", [*CHECKS])
def test_every_claim_of_a_check_is_a_known_requirement(name: str) -> None:
    check = CHECKS.get(name)
    assert set(check.claims) <= set(CLAIMS) and len(check.claims) == len(set(check.claims))
    assert all(claim in explain(name) for claim in check.claims)


def test_laws_are_told_by_number_with_dates_and_without_a_judgement() -> None:
    text = explain_law()
    for name, claim in CLAIMS.items():
        assert claim.law in LAWS
        if LAWS[claim.law].dates:
            assert name.partition("/")[2] in text and claim.title in text
    for said in ("10 June 2026", "2 December", "2 August 2026", "GB 45438-2025", "G.S.R. 120(E)"):
        assert said in " ".join(text.split())
    assert "compliant" not in text.lower() and "no measurement here makes it" in " ".join(text.split())
    one = explain_law("us-ca-sb942")
    assert "22757.3.b.1.D" in one and "eu-code" not in one
