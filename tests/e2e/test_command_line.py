"""The command line from outside: outputs, exit codes, and errors in a sentence."""

from __future__ import annotations

import json

import numpy as np
import pytest

from countermark.cli import run
from countermark.core.images import encode_image, write_image


def photograph() -> np.ndarray:
    from sklearn.datasets import load_sample_image

    return np.ascontiguousarray(load_sample_image("flower.jpg"))


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("COUNTERMARK_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_sign_and_verify(home, capsys) -> None:
    source = write_image(home / "made.png", photograph())
    assert run(["sign", str(source), "signed.png", "--generator", "test/1", "--json"]) == 0
    signed = json.loads(capsys.readouterr().out)
    assert run(["verify", "signed.png", "--require", "trusted", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "countermark.verify/1"
    assert document["results"][0]["state"] == "trusted"
    assert run(["verify", "signed.png", "--tree"]) == 0
    assert "trusted" in capsys.readouterr().out
    stripped = write_image(home / "stripped.png", _pixels(home / "signed.png"))
    assert run(["verify", str(stripped), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["results"]
    assert row["state"] == "recovered" and row["mark"]["payload"] == signed["payload"]
    assert run(["verify", str(stripped), "--require", "intact"]) == 1


def test_the_tree_names_the_generator_s_version_and_seed(home, capsys) -> None:
    source = write_image(home / "made.png", photograph()[:96, :128])
    words = ["--generator", "my-model/1.2", "--model", "my-model@abc", "--seed", "7", "--no-watermark"]
    assert run(["sign", str(source), "signed.png", *words]) == 0
    capsys.readouterr()
    assert run(["verify", "signed.png", "--tree", "--no-recover"]) == 0
    tree = capsys.readouterr().out
    assert "created (trainedAlgorithmicMedia) by my-model 1.2" in tree
    assert "seed 7" in tree and "model my-model@abc" in tree


def test_the_doctor_knows_identities_by_name(home, capsys) -> None:
    assert run(["keys", "doctor", "default"]) == 2
    assert "default" in capsys.readouterr().err, "there is none yet, and it says so"
    source = write_image(home / "made.png", photograph()[:64, :64])
    assert run(["sign", str(source), "signed.png", "--generator", "a/1", "--no-watermark"]) == 0
    assert "only you trust" in capsys.readouterr().err
    assert run(["keys", "doctor", "default"]) == 0
    assert capsys.readouterr().out
    assert run(["keys", "doctor", "nobody"]) == 2
    assert "default" in capsys.readouterr().err


def test_scan_writes_every_report(home, capsys) -> None:
    folder = home / "pictures"
    write_image(folder / "photo.jpg", photograph()[:240, :320])
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    outputs = [f"{kind}={home / name}" for kind, name in (("html", "r.html"), ("sarif", "r.sarif"))]
    arguments = ["scan", str(folder), "--no-marks", "--format", "json"]
    assert run([*arguments, "-o", outputs[0], "-o", outputs[1]]) == 0
    document = json.loads(capsys.readouterr().out)
    rows = {row["path"].rsplit("/", 1)[-1]: row for row in document["results"]}
    assert rows["broken.png"]["error"]["code"].startswith("image.") and rows["broken.png"]["verdict"] is None
    assert rows["photo.jpg"]["verdict"] is not None and 0 <= rows["photo.jpg"]["score"] <= 1
    assert "photo.jpg" in (home / "r.html").read_text() and (home / "r.sarif").stat().st_size > 100


def test_exit_codes(home, capsys) -> None:
    empty = home / "empty"
    empty.mkdir()
    assert run(["scan", str(empty)]) == 3
    (empty / "bad.png").write_bytes(b"nothing")
    assert run(["scan", str(empty)]) == 2
    assert run(["scan", "--no-such-option"]) == 4
    assert run(["frobnicate"]) == 4
    assert run(["verify", "missing.png"]) == 2
    capsys.readouterr()
    assert run(["generate", "no-such-model", "--out", str(home / "x")]) == 2
    assert "digits-32" in capsys.readouterr().err
    assert run(["audit", "missing.toml"]) == 2
    assert run(["scan", str(empty), "--detector", "no-such"]) == 2
    assert "default" in capsys.readouterr().err


def test_errors_say_what_to_do_and_show_no_traceback(home, capsys) -> None:
    source = write_image(home / "made.png", photograph())
    assert run(["sign", str(source), str(source)]) == 2
    told = capsys.readouterr().err
    assert "not overwritten" in told and "Traceback" not in told


def test_keys(home, capsys, tmp_path) -> None:
    assert run(["keys", "create", "press", "--algorithm", "ed25519"]) == 0
    assert run(["keys", "list", "--json"]) == 0
    assert "press" in capsys.readouterr().out
    chain = next((home / "home").rglob("press/chain.pem"))
    assert run(["keys", "doctor", str(chain)]) in (0, 1)
    assert run(["keys", "revoke", "press"]) == 0
    source = write_image(home / "made.png", photograph()[:64, :64])
    assert run(["sign", str(source), "signed.png", "--identity", "press"]) == 2
    key = next((home / "home").rglob("press/key.pem"))
    assert key.stat().st_mode & 0o077 == 0


def test_generate_and_models(home, capsys) -> None:
    assert run(["generate", "digits-32", "-n", "2", "-o", "made", "--seed", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 2
    assert (home / "made" / "metadata.csv").read_text().count("digits-32") >= 2
    assert run(["models", "--json"]) == 0
    names = [card["name"] for card in json.loads(capsys.readouterr().out)]
    assert names[0] == "default" and "digits-32" in names
    assert run(["models", "default"]) == 0
    card = json.loads(capsys.readouterr().out)
    assert card["metrics"]["native"]["auroc"] > 0.5
    points = card["metrics"]["working_points"]
    assert points["strict"]["native"]["tpr"] <= points["review"]["native"]["tpr"]
    assert card["config"]["thresholds"]["scores"] > 1000  # the scores themselves stand with the weights
    assert run(["models", "nothing"]) == 2


def _pixels(path) -> np.ndarray:
    from countermark.core.images import read_image

    return read_image(path).pixels


def test_reading_a_list_from_standard_input(home, capsys, monkeypatch) -> None:
    import io

    path = home / "a.png"
    path.write_bytes(encode_image(photograph()[:100, :100], "png"))

    class Stdin:
        buffer = io.BytesIO(f"{path}\n".encode())

    monkeypatch.setattr("sys.stdin", Stdin())
    assert run(["scan", "-", "--no-marks", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"]["total"] == 1


def test_a_report_that_cannot_be_written_is_refused_before_the_work(home, capsys, monkeypatch) -> None:
    from countermark.app.scan import run as scanning

    monkeypatch.setattr(scanning, "scan_stream", lambda *a, **k: pytest.fail("it was scanned"))
    monkeypatch.chdir(home)
    assert run(["scan", ".", "--output", "pdf=x.pdf"]) == 4
    assert "no report format 'pdf'" in capsys.readouterr().err
    assert run(["audit", "missing.toml", "--output", "nowhere"]) == 4
    assert "not clear" in capsys.readouterr().err
    assert run(["scan", ".", "--fail-on", "real"]) == 4
    assert "fail_on" in capsys.readouterr().err
    assert run(["scan", ".", "--max-fpr", "7"]) == 4
    assert "max_fpr" in capsys.readouterr().err
