"""Checks of weights, generators and pipelines, with small models in place of the rooms."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from countermark.app.audit import audit
from countermark.app.rooms import Rooms
from countermark.core.images import write_image
from countermark.core.results import (
    AuditReport,
    ChainLink,
    Interval,
    Outcome,
    Verification,
    VerificationState,
)
from countermark.core.weights import WeightsCard, save_weights

HEAD = """
schema = "countermark.policy/1"
name = "Checks"
[subject]
kind = "{kind}"
name = "{name}"
licences = ["Apache-2.0"]
{tables}
"""
DETECTOR = SimpleNamespace(card=WeightsCard(name="d", kind="detector", family="x", sha256="cd" * 32))


def run(
    folder: Path, checks: str, *, rooms: Rooms | None = None, kind: str = "detector", name: str = "default",
    tables: str = "", extra: str = "",
) -> AuditReport:  # fmt: skip
    path = folder / "policy.toml"
    path.write_text(HEAD.format(kind=kind, name=name, tables=tables) + checks + extra)
    return audit(path, rooms=rooms or Rooms(load_detector=lambda name: DETECTOR))


def save(folder: Path, **fields) -> Path:
    card = WeightsCard(
        name="model", kind="detector", family="x", summary="s", training_data=["d"],
        trained={"seed": 1}, metrics={"auroc": 0.9}, limits=["l"],
    )  # fmt: skip
    return save_weights(folder, {"a": torch.zeros(3)}, card.model_copy(update=fields))


WEIGHTS = "".join(f'[[checks]]\nid = "weights.{n}"\n' for n in ("format", "checksum", "card", "licence"))


def outcomes(folder: Path, extra: str = "") -> dict[str, Outcome]:
    report = run(folder, WEIGHTS, name="./model.safetensors", tables="", extra=extra)
    return {c.id.removeprefix("weights."): c.outcome for c in report.checks}


def test_good_weights_pass(tmp_path: Path) -> None:
    save(tmp_path)
    assert set(outcomes(tmp_path).values()) == {Outcome.PASS}


@pytest.mark.parametrize("name", ["extra.pt", "hidden.dat"])
def test_a_pickle_beside_the_weights_is_refused_and_named(tmp_path: Path, name: str) -> None:
    save(tmp_path)
    (tmp_path / name).write_bytes(b"\x80\x04\x95\x00.")
    report = run(tmp_path, WEIGHTS, name="./model.safetensors", tables="")
    assert report.checks[0].outcome == Outcome.FAIL and name in report.checks[0].sentence
    assert [c.outcome for c in report.checks[1:]] == [Outcome.PASS] * 3


def test_a_pickle_called_safetensors_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path)
    torch.save({"a": 1}, path)
    assert outcomes(tmp_path)["format"] == Outcome.FAIL


@pytest.mark.parametrize(
    "data", [b"", b"\x00" * 7, struct.pack("<Q", 2**60) + b"{}", struct.pack("<Q", 2) + b"[]", None]
)
def test_damaged_weights_are_refused(tmp_path: Path, data: bytes | None) -> None:
    path = save(tmp_path)
    path.write_bytes(path.read_bytes() + b"tail" if data is None else data)
    found = outcomes(tmp_path)
    assert found["format"] == Outcome.FAIL and found["checksum"] == Outcome.FAIL


def test_other_weights_than_the_policy_names(tmp_path: Path) -> None:
    save(tmp_path)
    path = tmp_path / "policy.toml"
    text = HEAD.format(kind="detector", name="./model.safetensors", tables="") + WEIGHTS
    path.write_text(text.replace("licences =", f'sha256 = "{"0" * 64}"\nlicences ='))
    checks = {c.id: c.outcome for c in audit(path, rooms=Rooms(load_detector=lambda name: DETECTOR)).checks}
    assert checks["weights.checksum"] == Outcome.FAIL and checks["weights.format"] == Outcome.PASS


def test_incomplete_card_and_foreign_licence(tmp_path: Path) -> None:
    save(tmp_path, limits=[], licence="Apache-2.0 (head); Proprietary (tower)")
    found = outcomes(tmp_path)
    assert found["card"] == Outcome.FAIL and found["licence"] == Outcome.FAIL


class Generator:
    """Samples noise, and has the card of a model."""

    card = WeightsCard(name="g", kind="generator", family="x", sha256="ef" * 32)

    def sample(self, count, seed=0):
        return np.random.default_rng(seed).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)


class Marks:
    """A mark in the corner pixels: survives nothing but being copied."""

    def embed(self, pixels, payload):
        marked = pixels.copy()
        marked[0, :8, 0] = np.frombuffer(payload, np.uint8)
        return marked

    def read(self, pixels):
        return SimpleNamespace(payload=pixels[0, :8, 0].tobytes(), p_value=1e-9)


def generator_rooms(**more) -> Rooms:
    def sign(source: Path, destination: Path, generator: str) -> None:
        destination.write_bytes(source.read_bytes())

    def verify(path: Path) -> Verification:
        return Verification(
            str(path), VerificationState.TRUSTED, digital_source_type="trainedAlgorithmicMedia"
        )

    rooms = Rooms(
        load_generator=lambda name: Generator(), embed_mark=Marks().embed, read_mark=Marks().read,
        sign=sign, verify=verify, evaluate=lambda *arguments: evaluation(),
    )  # fmt: skip
    return replace(rooms, **more)


def evaluation(**more) -> SimpleNamespace:
    copied = SimpleNamespace(c_t=0.5, authentic=0.6, near_duplicates=0.01)
    good = {
        "data": "d", "extractor": "dct", "reference": "held-out", "count_real": 100, "count_generated": 100,
        "kid": Interval(0.01, 0.005, 0.015, 100), "frechet": 3.0, "density": 0.9, "coverage": 0.8,
        "precision": Interval(0.8, 0.7, 0.9, 100), "recall": Interval(0.7, 0.6, 0.8, 100), "copying": copied,
    }  # fmt: skip
    return SimpleNamespace(**{**good, **more})


QUALITY = """
[[checks]]
id = "generator.kid"
data = "d"
at_most = 0.02
[[checks]]
id = "generator.fid"
data = "d"
at_most = 5
[[checks]]
id = "generator.coverage"
data = "d"
at_least = 0.7
[[checks]]
id = "generator.precision"
data = "d"
at_least = 0.6
[[checks]]
id = "generator.recall"
data = "d"
at_least = 0.5
[[checks]]
id = "generator.density"
data = "d"
at_least = 0.5
[[checks]]
id = "generator.c-t"
data = "d"
[[checks]]
id = "generator.authentic"
data = "d"
at_least = 0.45
[[checks]]
id = "generator.near-duplicates"
data = "d"
at_most = 0.06
"""


def test_generator_quality(tmp_path: Path) -> None:
    calls = []

    def evaluate(*arguments):
        calls.append(arguments)
        return evaluation()

    report = run(tmp_path, QUALITY, kind="generator", tables="", rooms=generator_rooms(evaluate=evaluate))
    assert [c.outcome for c in report.checks] == [Outcome.PASS] * 9 and len(calls) == 5
    copying = SimpleNamespace(c_t=-8.0, authentic=0.1, near_duplicates=0.4)
    bad = generator_rooms(evaluate=lambda *a: evaluation(copying=copying))
    report = run(tmp_path, QUALITY, kind="generator", tables="", rooms=bad)
    failed = [c.id for c in report.checks if c.outcome == Outcome.FAIL]
    assert failed == ["generator.c-t", "generator.authentic", "generator.near-duplicates"]
    few = generator_rooms(evaluate=lambda *a: evaluation(copying=None))
    report = run(tmp_path, QUALITY, kind="generator", tables="", rooms=few)
    assert [c.outcome for c in report.checks[-3:]] == [Outcome.INCONCLUSIVE] * 3


def test_mark_recovery_names_the_attack(tmp_path: Path) -> None:
    check = '[[checks]]\nid = "generator.mark-recovery"\nat_least = 0.5\nattacks = {}\nenlarge = 0\n'
    options = {"kind": "generator", "tables": "", "rooms": generator_rooms()}
    assert run(tmp_path, check.format('["native"]'), **options).checks[0].outcome == Outcome.PASS
    result = run(tmp_path, check.format('["native", "blur:2"]'), **options).checks[0]
    assert result.outcome == Outcome.FAIL and result.detail["worst"] == "blur:2"


def test_generator_signs_its_samples(tmp_path: Path) -> None:
    check = '[[checks]]\nid = "generator.signed"\ncount = 3\n'
    options = {"kind": "generator", "tables": ""}
    assert run(tmp_path, check, rooms=generator_rooms(), **options).checks[0].outcome == Outcome.PASS
    wrong = generator_rooms(verify=lambda p: Verification(str(p), VerificationState.TRUSTED))
    result = run(tmp_path, check, rooms=wrong, **options).checks[0]
    assert result.outcome == Outcome.FAIL and "no source type" in result.sentence


PIPELINE = "".join(
    f'[[checks]]\nid = "pipeline.{name}"\nevidence = "out"\n'
    for name in ("signed", "trusted", "source-type", "marked", "recoverable", "readable")
)


def test_pipeline_checks_name_the_file(tmp_path: Path) -> None:
    for number in range(4):
        write_image(tmp_path / "out" / f"{number}.png", np.full((16, 16, 3), number, np.uint8))
    (tmp_path / "out" / "broken.png").write_bytes(b"no image")

    def verify(path: Path) -> Verification:
        state = VerificationState.RECOVERED if path.parent.name == "handled" else VerificationState.TRUSTED
        if path.name == "3.png":
            state = VerificationState.INTACT
        return Verification(str(path), state, digital_source_type="trainedAlgorithmicMedia")

    rooms = generator_rooms(verify=verify)
    tables = '[evidence.out]\nfolder = "out"\n'
    report = run(tmp_path, PIPELINE, kind="pipeline", tables=tables, rooms=rooms)
    found = {c.id: c for c in report.checks}
    assert found["pipeline.signed"].outcome == Outcome.PASS
    assert found["pipeline.trusted"].outcome == Outcome.FAIL and "3.png" in found["pipeline.trusted"].sentence
    assert report.exit_code in (1, 2)


def test_fid_and_density_have_intervals_over_runs(tmp_path: Path) -> None:
    def rooms(step: float) -> Rooms:
        return generator_rooms(
            evaluate=lambda name, data, count, extractor, seed: evaluation(
                frechet=5.0 + step * (seed // 1_000_000), density=0.9 - step * (seed // 1_000_000) / 10
            )
        )

    check = '[[checks]]\nid = "generator.fid"\ndata = "d"\nat_most = {}\nrepeats = 4\n'
    check += '[[checks]]\nid = "generator.density"\ndata = "d"\nat_least = {}\nrepeats = 4\n'
    options = {"kind": "generator", "tables": ""}
    steady = run(tmp_path, check.format(5.0, 0.9), rooms=rooms(0.0), **options).checks
    assert [c.outcome for c in steady] == [Outcome.PASS] * 2 and steady[0].interval.clusters == 4
    spread = run(tmp_path, check.format(7.0, 0.8), rooms=rooms(0.5), **options).checks
    assert [c.outcome for c in spread] == [Outcome.INCONCLUSIVE] * 2
    # Runs give 5.5, 6, 6.5, 7: mean 6.25, Student's t with 3 degrees 3.182, standard error 0.3227.
    assert spread[0].interval.high == pytest.approx(6.25 + 3.1824 * 0.32275, abs=1e-3)
    assert run(tmp_path, check.format(5.0, 0.9), rooms=rooms(0.5), **options).exit_code == 1


def test_shares_of_generators_have_exact_intervals(tmp_path: Path) -> None:
    check = '[[checks]]\nid = "generator.near-duplicates"\ndata = "d"\nat_most = {}\n'
    options = {"kind": "generator", "tables": "", "rooms": generator_rooms()}
    outcomes = [run(tmp_path, check.format(t), **options).checks[0].outcome for t in (0.06, 0.05, 0.0001)]
    assert outcomes == [Outcome.PASS, Outcome.INCONCLUSIVE, Outcome.FAIL]


def test_mark_fpr_counts_readings_of_unmarked_images(tmp_path: Path) -> None:
    for number in range(40):
        write_image(tmp_path / "plain" / f"{number}.png", np.full((16, 16, 3), number, np.uint8))
    check = '[[checks]]\nid = "generator.mark-fpr"\nevidence = "plain"\nat_most = 0.1\n'
    options = {"kind": "generator", "tables": '[evidence.plain]\nfolder = "plain"\n'}
    silent = generator_rooms(read_mark=lambda pixels: SimpleNamespace(payload=None, p_value=1.0))
    assert run(tmp_path, check, rooms=silent, **options).checks[0].outcome == Outcome.PASS
    assert run(tmp_path, check, rooms=generator_rooms(), **options).checks[0].outcome == Outcome.FAIL


def test_pipeline_source_type_and_readable_fail_by_themselves(tmp_path: Path) -> None:
    write_image(tmp_path / "out" / "0.png", np.zeros((16, 16, 3), np.uint8))
    (tmp_path / "out" / "broken.png").write_bytes(b"no image")
    checks = '[[checks]]\nid = "pipeline.source-type"\nevidence = "out"\n'
    checks += '[[checks]]\nid = "pipeline.readable"\nevidence = "out"\n'

    def captured(path: Path) -> Verification:
        state = VerificationState.TRUSTED if path.name == "0.png" else VerificationState.ABSENT
        return Verification(str(path), state, digital_source_type="digitalCapture")

    tables = '[evidence.out]\nfolder = "out"\n'
    report = run(tmp_path, checks, kind="pipeline", tables=tables, rooms=generator_rooms(verify=captured))
    assert [c.outcome for c in report.checks] == [Outcome.FAIL] * 2
    (tmp_path / "out" / "broken.png").unlink()
    report = run(tmp_path, checks, kind="pipeline", tables=tables, rooms=generator_rooms())
    assert [c.outcome for c in report.checks] == [Outcome.PASS] * 2


def test_pipeline_timestamped_asks_for_a_stamp(tmp_path: Path) -> None:
    write_image(tmp_path / "out" / "0.png", np.zeros((16, 16, 3), np.uint8))
    stamp = {"kind": "valid"}

    def stamped(path: Path) -> Verification:
        link = ChainLink("a", None, None, None, None, None, None, "trusted", time_stamp=stamp["kind"])
        return Verification(str(path), VerificationState.TRUSTED, chain=(link,))

    tables = '[evidence.out]\nfolder = "out"\n'
    check = '[[checks]]\nid = "pipeline.timestamped"\nevidence = "out"\n'
    rooms = generator_rooms(verify=stamped)

    def outcome(more: str = "") -> Outcome:
        return run(tmp_path, check + more, kind="pipeline", tables=tables, rooms=rooms).checks[0].outcome

    assert outcome() == Outcome.PASS and outcome("trusted = true\n") == Outcome.FAIL
    stamp["kind"] = ""
    assert outcome() == Outcome.FAIL


def test_pipeline_conformant_names_the_rules_that_are_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from countermark.core.images import encode_image
    from countermark.provenance.credentials.signing import sign_bytes

    monkeypatch.setenv("COUNTERMARK_HOME", str(tmp_path / "home"))
    plain = encode_image(np.zeros((16, 16, 3), np.uint8), "png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "0.png").write_bytes(sign_bytes(plain).data)
    tables = '[evidence.out]\nfolder = "out"\n'
    check = '[[checks]]\nid = "pipeline.conformant"\nevidence = "out"\n'
    options = {"kind": "pipeline", "tables": tables, "rooms": generator_rooms()}
    assert run(tmp_path, check, **options).checks[0].outcome == Outcome.PASS
    (tmp_path / "out" / "1.png").write_bytes(sign_bytes(plain, actions=["c2pa.cropped"]).data)
    (tmp_path / "out" / "2.png").write_bytes(plain)
    report = run(tmp_path, check, **options)
    assert report.checks[0].outcome == Outcome.FAIL
    missed = {row["file"]: row["why"] for row in report.checks[0].detail["first"]}
    assert missed == {
        "1.png": "mandatory_dst_for_perceptible_transformations",
        "2.png": "credential.missing",
    }


def test_weights_in_parts(tmp_path: Path) -> None:
    card = WeightsCard(name="model", kind="detector", family="x", summary="s")
    tensors = {name: torch.full((100,), float(n)) for n, name in enumerate("abc")}
    save_weights(tmp_path, tensors, card, shard_bytes=500)
    checks = "".join(f'[[checks]]\nid = "weights.{n}"\n' for n in ("format", "checksum"))

    def found() -> list[Outcome]:
        return [c.outcome for c in run(tmp_path, checks, name="./model.safetensors").checks]

    parts = sorted(tmp_path.glob("model-*.safetensors"))
    assert len(parts) == 3 and found() == [Outcome.PASS] * 2
    data = bytearray(parts[1].read_bytes())
    data[-1] ^= 1
    parts[1].write_bytes(data)
    assert found() == [Outcome.PASS, Outcome.FAIL]
    parts[2].unlink()
    assert found() == [Outcome.FAIL] * 2


@pytest.mark.parametrize(
    ("id", "fields"), [("weights.card", {"training_data": []}), ("weights.licence", {"licence": "NC-1.0"})]
)
def test_card_and_licence_fail_by_themselves(tmp_path: Path, id: str, fields: dict) -> None:
    save(tmp_path, **fields)
    report = run(tmp_path, WEIGHTS, name="./model.safetensors")
    assert [c.id for c in report.checks if c.outcome == Outcome.FAIL] == [id]
