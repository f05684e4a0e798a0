"""What else is handed in and shown: masks and boxes, clips, PDF, HEIC, an audit's report."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from countermark.core.images import read_image

AXE = "COUNTERMARK_AXE"


def group(desk: Any, site: Any) -> None:
    desk.choose(site.picture("group.png", mean=245))
    desk.settle()
    desk.until(lambda: desk.all(".mask"))


def clip(site: Any) -> Path:
    av = pytest.importorskip("av")
    path: Path = site.folder / "statement.mp4"
    if not path.exists():
        still = read_image(site.picture("for-clip.png", mean=240, size=(260, 340))).pixels
        with av.open(str(path), "w") as out:
            stream = out.add_stream("libx264", rate=10)
            stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
            for number in range(12):
                part = np.ascontiguousarray(still[number : number + 240, number : number + 320])
                for packet in stream.encode(av.VideoFrame.from_ndarray(part, format="rgb24")):
                    out.mux(packet)
            for packet in stream.encode():
                out.mux(packet)
    return path


def test_what_is_found_later_comes_into_the_answer(desk: Any, site: Any) -> None:
    desk.choose(site.picture("group-of-people.png", mean=60))
    desk.settle()
    desk.until(lambda: "One part does not fit the rest" in desk.find("#answer h1").text)
    assert "A part." in desk.find("#evidence").text
    assert desk.find("#answer").get_attribute("aria-live") == "polite"


def opacity(desk: Any, selector: str) -> float:
    script = "return getComputedStyle(document.querySelector(arguments[0])).opacity"
    return float(desk.run(script, selector))


def test_mask_and_boxes_are_switched_and_dimmed(desk: Any, site: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    group(desk, site)
    desk.until(lambda: opacity(desk, ".mask") > 0 and opacity(desk, ".boxes") == 1)
    assert opacity(desk, ".map:not(.mask)") == 0, "the mask is shown first, the map when it is asked for"
    assert "place named by the evidence" in desk.find(".boxes").get_attribute("aria-label")
    desk.find("#opacity").send_keys(Keys.END)
    desk.until(lambda: opacity(desk, ".mask") == 1)
    desk.find("#mask-on").send_keys(Keys.SPACE)
    desk.until(lambda: opacity(desk, ".mask") == 0)
    desk.find("#boxes-on").send_keys(Keys.SPACE)
    desk.until(lambda: opacity(desk, ".boxes") == 0)
    desk.find("#map-on").send_keys(Keys.SPACE)
    desk.until(lambda: opacity(desk, ".map:not(.mask)") == 1)


def test_a_clip_is_answered_through_time(desk: Any, site: Any) -> None:
    desk.choose(clip(site))
    desk.settle()
    assert desk.find("#clip-title").text == "Through time" and desk.all(".timeline circle")
    frame = desk.find(".frames img")
    assert desk.run("return arguments[0].naturalWidth", frame) > 100
    assert desk.find("#picture-title").text == "The clip"


def test_a_pdf_and_a_heic_give_their_pictures(desk: Any, site: Any) -> None:
    pytest.importorskip("pikepdf")
    from PIL import Image
    from pillow_heif import register_heif_opener

    register_heif_opener()
    pixels = read_image(site.picture("dark.png", mean=60)).pixels
    sheet, photo = io.BytesIO(), io.BytesIO()
    Image.fromarray(pixels).save(sheet, "PDF")
    Image.fromarray(pixels).save(photo, "HEIF")
    desk.choose(site.file("sheet.pdf", sheet.getvalue()), site.file("phone.heic", photo.getvalue()))
    desk.until(lambda: desk.path.startswith("/b/"))
    desk.until(lambda: desk.find("#list").get_attribute("data-poll") == "no")
    rows = [row.text for row in desk.all(".row")]
    assert len(rows) == 2 and all("No evidence" in row for row in rows), rows
    assert any("phone.heic" in row for row in rows) and any("picture-" in row for row in rows)


def open_audit(desk: Any, site: Any) -> None:
    from countermark.core.results import AuditReport, CheckResult, Outcome
    from countermark.reports import audit_document

    check = CheckResult("detector.auroc", "AUROC", Outcome.PASS, "It passed.")
    report = audit_document(AuditReport("Ours", {"kind": "detector", "name": "default"}, (check,), True, 0))
    desk.go("/keys")
    desk.find("#audit-file").send_keys(str(site.file("audit.json", json.dumps(report).encode())))
    desk.find("form[action='/audit'] button").click()
    desk.until(lambda: desk.driver.title.startswith("Audit: Ours"))


def test_an_audit_s_report_is_opened(desk: Any, site: Any) -> None:
    open_audit(desk, site)
    assert "detector.auroc" in desk.find("main").text
    ground = desk.run("return getComputedStyle(document.body).backgroundColor")
    assert ground not in ("rgba(0, 0, 0, 0)", "rgb(255, 255, 255)"), "its style sheet is allowed"


@pytest.mark.parametrize("what", ["group", "clip", "audit"])
def test_axe_finds_nothing(desk: Any, site: Any, what: str) -> None:
    place = os.environ.get(AXE)
    path = Path(place) if place else Path(__file__).with_name("axe.min.js")
    if not path.is_file():
        pytest.skip(f"axe-core is not there: npm pack axe-core, and name its axe.min.js in {AXE}")
    if what == "group":
        group(desk, site)
    elif what == "audit":
        open_audit(desk, site)
    else:
        desk.choose(clip(site))
        desk.settle()
    desk.run(path.read_text("utf-8"))
    found = desk.driver.execute_async_script(
        "const done = arguments[0]; axe.run(document, { resultTypes: ['violations'] }).then("
        "(r) => done(r.violations.map((v) => [v.id, v.nodes.map((n) => n.html)])))"
    )
    assert found == []
    size = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    desk.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    assert desk.run("return document.documentElement.scrollWidth") <= 360
