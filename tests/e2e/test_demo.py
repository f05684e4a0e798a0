"""The demo runs without a network and ends with a report that holds the whole story."""

from __future__ import annotations

import json
import socket

import pytest

from countermark.app.demo import STEPS, run_demo
from countermark.core.errors import OutputError
from countermark.core.images import write_image


def test_the_whole_loop(tmp_path, monkeypatch) -> None:
    def refuse(*arguments, **options):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setenv("COUNTERMARK_HOME", str(tmp_path / "home"))
    from sklearn.datasets import load_sample_image

    own = tmp_path / "own"
    write_image(own / "mine.jpg", load_sample_image("china.jpg")[100:300, 100:400])
    (own / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    steps: list[str] = []
    result = run_demo(tmp_path / "demo", photos=own, step=steps.append)
    assert tuple(steps) == STEPS and result.passed
    record = json.loads((tmp_path / "demo" / "demo.json").read_text())
    alone = {r["verdict"] for r in record["scan"]["results"] if r["path"].rsplit("/", 2)[-2] == "unmarked"}
    assert {"likely-synthetic", "unsure"} <= alone, "what nothing declares is told by the detector alone"
    assert [c["outcome"] for c in record["audit"]["checks"]] == ["pass"] * 3
    verdicts = {row["path"].rsplit("/", 2)[-2]: row["verdict"] for row in record["scan"]["results"]}
    assert verdicts["signed"] == verdicts["laundered"] == "declared-synthetic"
    assert verdicts["photographs"] not in ("declared-synthetic", "declared-captured")
    assert (
        verdicts["clips"] == "declared-synthetic"
        and sum(bool(r["clip"]) for r in record["scan"]["results"]) == 2
    )
    parts = {}
    for row in record["scan"]["results"]:
        found = next((e["detail"] for e in row["evidence"] if e["kind"] == "region"), None)
        parts |= {row["path"].rsplit("/", 1)[-1]: found} if found else {}
    assert set(parts) == {"removed.png", "redrawn.png"}, "where something was changed it is looked for"
    assert parts["removed.png"]["found"]
    x, y, width, height = parts["removed.png"]["parts"][0]["box"]
    assert abs(x + width / 2 - 545) < 40 and abs(y + height / 2 - 315) < 40, "at its place"
    masks = sorted(path.name.split(".png-")[0] for path in (tmp_path / "demo" / "masks").iterdir())
    assert masks == ["redrawn", "removed"]
    states = {row["path"].rsplit("-", 1)[-1]: row["state"] for row in record["verify"]["results"]}
    clips = {row["path"].rsplit("/", 1)[-1]: row["state"] for row in record["verify"]["results"]}
    assert (clips["signed.mp4"], clips["copied.mp4"]) == ("trusted", "recovered")
    assert states["tampered.png"] == "invalid" and states["jpeg75.jpg"] == "recovered"
    assert {check["id"] for check in record["audit"]["checks"]} >= {"detector.auroc", "pipeline.signed"}
    page = (tmp_path / "demo" / "report.html").read_text()
    assert "data:image/jpeg;base64," in page and "<script" not in page
    assert "Part that does not fit" in page
    for name in ("verification.html", "audit.html"):  # pictures of the files, and of the worst
        assert "data:image/jpeg;base64," in (tmp_path / "demo" / name).read_text(), name
    with pytest.raises(OutputError):
        run_demo(tmp_path / "demo")
