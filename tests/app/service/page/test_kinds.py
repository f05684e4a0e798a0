"""What else may be handed in and shown: PDF, clips, masks and boxes, an audit's report."""

from __future__ import annotations

import inspect
import io
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from countermark.app.service import Settings, create_app
from countermark.app.service.page import places, words
from countermark.app.service.page.pdfs import is_pdf, pictures_of
from countermark.core.errors import ImageError
from countermark.core.files import HOME_VARIABLE
from countermark.core.images import encode_image, read_image
from countermark.core.results import Clip, Evidence, ScanResult, Strength, Verdict

HERE = "http://127.0.0.1:8722"


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, paper: Any) -> Iterator[TestClient]:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    settings = Settings(
        repository=f"sqlite:///{tmp_path / 'm.db'}",
        tokens=tmp_path / "t.json",
        warm=False,
        rate=1e6,
        burst=10**6,
    )
    app = create_app(settings)
    app.state.context._detector = paper
    with TestClient(app, base_url=HERE, client=("127.0.0.1", 50000), follow_redirects=False) as made:
        yield made


def shown(client: TestClient, data: bytes, name: str) -> tuple[dict[str, Any], str]:
    """Hands a file in, waits, and gives the answer and the first result's page."""
    answer: dict[str, Any] = client.post("/look", params={"name": name}, content=data).json()
    for entry in answer["entries"]:
        for _ in range(6000):
            if client.get(f"/r/{entry}/state").json()["state"] in ("done", "failed"):
                break
            time.sleep(0.05)
    return answer, client.get(f"/r/{answer['entries'][0]}", headers={"Accept": "text/html"}).text


# --- PDF -----------------------------------------------------------------------------------------


def pdf(*images: tuple[bytes, dict[str, Any]]) -> bytes:
    """A PDF of one page with these image streams."""
    pikepdf = pytest.importorskip("pikepdf")
    document = pikepdf.new()
    document.add_blank_page()
    for data, entries in images:
        stream = pikepdf.Stream(document, data)
        stream["/Type"], stream["/Subtype"] = pikepdf.Name("/XObject"), pikepdf.Name("/Image")
        for key, value in entries.items():
            stream[key] = pikepdf.Name(value) if isinstance(value, str) else value
        document.make_indirect(stream)
        document.pages[0].obj[f"/Keep{len(document.objects)}"] = stream
    out = io.BytesIO()
    document.save(out, compress_streams=False)
    return out.getvalue()


def jpeg_entry(pixels: np.ndarray) -> tuple[bytes, dict[str, Any]]:
    height, width = pixels.shape[:2]
    entries = {
        "/Width": width, "/Height": height, "/BitsPerComponent": 8, "/ColorSpace": "/DeviceRGB",
        "/Filter": "/DCTDecode",
    }  # fmt: skip
    return encode_image(pixels, "jpeg"), entries


def plain_entry(pixels: np.ndarray, data: bytes | None = None) -> tuple[bytes, dict[str, Any]]:
    import zlib

    height, width = pixels.shape[:2]
    entries = {
        "/Width": width, "/Height": height, "/BitsPerComponent": 8, "/ColorSpace": "/DeviceRGB",
        "/Filter": "/FlateDecode",
    }  # fmt: skip
    return zlib.compress(pixels.tobytes()) if data is None else data, entries


def test_a_pdf_gives_its_pictures(drawing: Callable[..., np.ndarray]) -> None:
    one, two, small = drawing(1), drawing(2), np.zeros((8, 8, 3), np.uint8)
    data = pdf(jpeg_entry(one), plain_entry(two), plain_entry(small))
    assert is_pdf(data)
    found = pictures_of(data)
    assert found.left_out == {"smaller than 32 pixels": 1}
    kinds = sorted(name.rpartition(".")[2] for name, _ in found.pictures)
    assert kinds == ["jpeg", "png"]
    lossless = next(content for name, content in found.pictures if name.endswith("png"))
    assert np.array_equal(read_image(lossless).pixels, two)


def test_bombs_and_damage_in_a_pdf_are_reasons(drawing: Callable[..., np.ndarray]) -> None:
    import zlib

    picture = drawing(1)
    bomb = zlib.compress(bytes(60_000_000), 9)
    huge = (b"x", {"/Width": 60_000, "/Height": 60_000, "/BitsPerComponent": 8, "/ColorSpace": "/DeviceRGB"})
    data = pdf(plain_entry(picture, bomb), huge, plain_entry(picture, b"nothing"), jpeg_entry(picture))
    found = pictures_of(data)
    assert len(found.pictures) == 1 and sum(found.left_out.values()) == 3 and found.left_out["too large"] == 1
    assert pictures_of(data, max_bytes=100).left_out["too large"] >= 2
    for broken in (b"%PDF-1.7\nnothing", data[: len(data) // 2]):
        with pytest.raises(ImageError):
            pictures_of(broken)


def test_the_page_takes_a_pdf(client: TestClient, drawing: Callable[..., np.ndarray]) -> None:
    answer, text = shown(client, pdf(jpeg_entry(drawing(1)), jpeg_entry(drawing(2))), "contact-sheet.pdf")
    assert len(answer["entries"]) == 2 and "picture-1.jpeg" in text
    _, text = shown(client, b"%PDF-1.7\nnothing", "broken.pdf")
    assert "This file is damaged." in text


# --- masks, boxes, working points ----------------------------------------------------------------


def test_mask_and_boxes_lie_over_the_picture(
    client: TestClient, drawing: Callable[..., np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = np.zeros((96, 128), bool)
    mask[20:60, 30:80] = True
    face = Evidence(
        "face", "synthetic", Strength.WEAK, "One face.",
        {"faces": [{"box": [10, 12, 40, 50], "likely": True}, {"box": [100, 12, 40, 50], "likely": False}]},
    )  # fmt: skip
    monkeypatch.setattr(places.PartSearch, "evidence", lambda self, path, image: None)
    monkeypatch.setattr(places.PartSearch, "take", lambda self, path: mask)
    monkeypatch.setattr(places.FaceSearch, "evidence", lambda self, image: face)
    answer, text = shown(client, encode_image(drawing(1), "png"), "group.png")
    assert text.count("<rect class=") >= 3 and 'class="points" x="10' in text and 'id="boxes-on"' in text
    assert 'id="mask-on"' in text
    drawn = client.get(f"/r/{answer['entries'][0]}/mask")
    assert drawn.headers["content-type"] == "image/png"
    import cv2

    pixels = cv2.imdecode(np.frombuffer(drawn.content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert pixels[40, 50, 3] > 0 and pixels[5, 5, 3] == 0
    told = client.get(f"/r/{answer['entries'][0]}/result.json").json()
    assert any(e["kind"] == "face" for e in told["scan"]["results"][0]["evidence"])


def test_the_answer_speaks_of_a_part_that_stands_out(
    client: TestClient, drawing: Callable[..., np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    part = Evidence("region", "synthetic", Strength.WEAK, "A part does not fit.", {"parts": []})
    monkeypatch.setattr(places.PartSearch, "evidence", lambda self, path, image: part)
    monkeypatch.setattr(places.FaceSearch, "evidence", lambda self, image: None)
    told = "We found no sign that a generator made the whole picture. One part does not fit the rest."
    answer, _ = shown(client, encode_image(drawing(1, mean=60), "png"), "a.png")
    name = answer["entries"][0]
    for _ in range(6000):
        if client.get(f"/r/{name}/state").json()["state"] == "done":
            break
        time.sleep(0.05)
    text = client.get(f"/r/{name}", headers={"Accept": "text/html"}).text
    assert told in text and "A part does not fit." in text and "before anybody edited it" in text
    assert told in client.get(f"/b/{answer['batch']}", headers={"Accept": "text/html"}).text


@pytest.mark.parametrize(
    ("verdict", "headline", "remarks"),
    [
        (Verdict.NO_EVIDENCE, "One part does not fit", 0),
        (Verdict.UNSURE, "We cannot tell whether a generator made this picture.", 2),
        (Verdict.LIKELY_SYNTHETIC, "This picture looks as if a generator made it.", 2),
    ],
)
def test_parts_and_faces_are_said_at_the_top(verdict: Verdict, headline: str, remarks: int) -> None:
    kinds = ("region", "face")
    found = tuple(Evidence(kind, "synthetic", Strength.WEAK, "There.", {}) for kind in kinds)
    result = ScanResult("", "00" * 32, verdict, 0.6, found, thresholds={"likely": 0.9, "unsure": 0.5})
    assert headline in words.answer(result, None).headline
    assert len(words.remarks(result, None)) == remarks


def test_a_clip_is_called_a_clip() -> None:
    clip = Clip(3.0, "mp4", "h264", 10.0, ())
    for verdict in (Verdict.NO_EVIDENCE, Verdict.UNSURE, Verdict.LIKELY_SYNTHETIC, Verdict.DECLARED_CAPTURED):
        result = ScanResult("", "00" * 32, verdict, 0.6, (), clip=clip)
        said = words.answer(result, None).headline
        assert "this clip" in said.lower() and "picture" not in said
    source = inspect.getsource(words)
    assert all(source.count(f'"{picture}"') == 2 for picture in words.CLIPS), "each is said of a picture too"


def test_places_never_change_the_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    weak = Evidence("region", "synthetic", Strength.WEAK, "A part.", {})
    monkeypatch.setattr(places.PartSearch, "evidence", lambda self, path, image: weak)
    monkeypatch.setattr(places.FaceSearch, "evidence", lambda self, image: None)
    image = read_image(encode_image(np.full((64, 64, 3), 9, np.uint8), "png"))
    before = ScanResult(
        "", "00" * 32, Verdict.NO_EVIDENCE, 0.1, (Evidence("detector", "neither", Strength.WEAK, "."),)
    )
    after, mask = places.find_places(before, image, "a.png")
    assert after.verdict is before.verdict and len(after.evidence) == 2 and mask is None
    assert after.evidence[0].kind == "detector"


def test_what_a_working_point_found_stands_beside_it(
    client: TestClient, drawing: Callable[..., np.ndarray], monkeypatch: pytest.MonkeyPatch, paper: Any
) -> None:
    from types import SimpleNamespace

    points = {"default": {"likely": 0.89, "native": {"tpr": 0.61}}}
    monkeypatch.setattr(paper, "card", SimpleNamespace(sha256="0" * 64, metrics={"working_points": points}))
    _, text = shown(client, encode_image(drawing(1), "png"), "a.png")
    assert "61 %" in text and "Finds" in text


def test_a_picture_is_searched_for_marks_once(
    client: TestClient, drawing: Callable[..., np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    from countermark.provenance import watermark

    asked: list[int] = []
    read = watermark.read

    def counted(*arguments: Any, **options: Any) -> Any:
        asked.append(1)
        return read(*arguments, **options)

    monkeypatch.setattr(watermark, "read", counted)
    shown(client, encode_image(drawing(1), "png"), "a.png")
    assert len(asked) == 1


# --- clips ---------------------------------------------------------------------------------------


def clip(path: Path, drawing: Callable[..., np.ndarray]) -> bytes:
    av = pytest.importorskip("av")
    still = drawing(3, 240, 320)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 256, 192, "yuv420p"
        for number in range(12):
            part = np.ascontiguousarray(still[number : number + 192, number : number + 256])
            for packet in stream.encode(av.VideoFrame.from_ndarray(part, format="rgb24")):
                out.mux(packet)
        for packet in stream.encode():
            out.mux(packet)
    return path.read_bytes()


def test_a_clip_has_a_timeline_and_frames(
    client: TestClient, drawing: Callable[..., np.ndarray], tmp_path: Path
) -> None:
    answer, text = shown(client, clip(tmp_path / "a.mp4", drawing), "statement.mp4")
    assert 'class="timeline"' in text and "frames looked at" in text and "The clip" in text
    assert "likely 0.890" in text and "0:00" in text, "its thresholds and its times are named"
    assert client.get(f"/r/{answer['entries'][0]}/frame-0").status_code == 200
    whole = client.get(f"/r/{answer['entries'][0]}/result.html").text
    assert 'class="timeline"' in whole and "<script" not in whole


def test_a_damaged_clip_says_so(
    client: TestClient, drawing: Callable[..., np.ndarray], tmp_path: Path
) -> None:
    data = clip(tmp_path / "a.mp4", drawing)
    _, text = shown(client, data[:200], "cut.mp4")
    assert "This clip cannot be looked at." in text or "damaged" in text


# --- audits --------------------------------------------------------------------------------------


def test_an_audit_s_report_is_shown_and_nothing_else(client: TestClient) -> None:
    from countermark.core.results import AuditReport, CheckResult, Outcome
    from countermark.reports import audit_document

    hostile = "<script>alert(1)</script>"
    report = AuditReport(
        hostile, {"kind": "detector", "name": "default"},
        (CheckResult("detector.auroc", "AUROC", Outcome.PASS, "It passed."),), True, 0,
    )  # fmt: skip

    def send(document: object) -> Any:
        return client.post("/audit", files={"file": ("audit.json", json.dumps(document))})

    answer = send(audit_document(report))
    assert answer.status_code == 200 and "detector.auroc" in answer.text
    assert "<script>" not in answer.text and "unsafe" not in answer.headers["content-security-policy"]
    assert "style-src 'sha256-" in answer.headers["content-security-policy"]
    for wrong in ({"schema": "countermark.scan/1"}, {"schema": "countermark.audit/1"}, [1], "text"):
        assert send(wrong).status_code == 400


def test_a_list_waits_for_what_is_found_later(
    client: TestClient, drawing: Callable[..., np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    from countermark.app.service.page import desk as desks

    gate: list[bool] = []

    def slow(context: Any, look: Any) -> None:
        while not gate:
            time.sleep(0.01)

    monkeypatch.setattr(desks, "draw_map", slow)
    data = encode_image(drawing(1), "png")
    answer = client.post("/look", params={"name": "a.png"}, content=data).json()
    name = answer["entries"][0]
    while client.get(f"/r/{name}/state").json()["state"] != "ready":
        time.sleep(0.02)
    page = {"Accept": "text/html"}
    text = client.get(f"/b/{answer['batch']}", headers=page).text
    assert 'data-poll="yes"' in text and "still looked for" in text
    gate.append(True)
    while client.get(f"/r/{name}/state").json()["state"] != "done":
        time.sleep(0.02)
    text = client.get(f"/b/{answer['batch']}", headers=page).text
    assert 'data-poll="no"' in text and "All are done." in text
