"""The page as people use it: choose, drop and paste; verdict, map, history; sign and look again; errors."""

from __future__ import annotations

import base64
import io
import os
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from countermark.core.images import encode_image, read_image

#: Where axe-core lies, when it is not beside the tests: its ``axe.min.js``.
AXE = "COUNTERMARK_AXE"


def test_a_picture_is_chosen_and_answered(desk: Any, site: Any) -> None:
    desk.choose(site.picture("bright.png", mean=245))
    desk.settle()
    assert desk.find(".verdict h1").text == "This picture looks as if a generator made it."
    assert desk.find(".verdict .next li").text
    assert desk.driver.title.startswith("Likely synthetic: bright.png")
    rows = [row.text for row in desk.all("tbody tr")]
    assert len(rows) >= 3 and rows[0].startswith("Strict")
    assert len(desk.all(".deliveries li")) == 4


def test_the_map_is_switched_and_dimmed_with_the_keyboard(desk: Any, site: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    desk.choose(site.picture("bright.png", mean=245))
    desk.settle()

    def opacity() -> float:
        return float(desk.run("return getComputedStyle(document.querySelector('.map')).opacity"))

    desk.until(lambda: opacity() == 0.7)
    slider = desk.find("#opacity")
    slider.send_keys(Keys.HOME)
    desk.until(lambda: opacity() == 0)
    slider.send_keys(Keys.END)
    desk.until(lambda: opacity() == 1)
    desk.find("#map-on").send_keys(Keys.SPACE)
    desk.until(lambda: opacity() == 0)


DROP = """
const [name, content, where] = arguments;
const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
const transfer = new DataTransfer();
transfer.items.add(new File([bytes], name, { type: "image/png" }));
const zone = document.getElementById("zone");
if (where === "drop") {
  for (const kind of ["dragenter", "dragover", "drop"])
    zone.dispatchEvent(new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: transfer }));
} else {
  const options = { clipboardData: transfer, bubbles: true, cancelable: true };
  document.dispatchEvent(new ClipboardEvent("paste", options));
}
"""


@pytest.mark.parametrize("how", ["drop", "paste"])
def test_a_picture_is_dropped_or_pasted(desk: Any, site: Any, how: str) -> None:
    content = base64.b64encode(site.picture("dark.png", mean=60).read_bytes()).decode()
    desk.go()
    desk.run(DROP, f"{how}ped.png", content, how)
    desk.settle()
    assert "We found no sign" in desk.find(".verdict h1").text
    assert f"{how}ped.png" in desk.driver.title


def test_several_and_a_zip_are_listed_and_two_compared(desk: Any, site: Any) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.write(site.picture("in-zip.png", mean=160, seed=3), "in-zip.png")
        archive.writestr("notes.txt", "text")
    packed = site.file("several.zip", stream.getvalue())
    desk.choose(site.picture("bright.png", mean=245), site.picture("dark.png", mean=60), packed)
    desk.until(lambda: desk.path.startswith("/b/"))
    desk.until(lambda: desk.find("#list").get_attribute("data-poll") == "no")
    assert len(desk.all(".row")) == 3 and "Left out of the ZIP" in desk.find("#list").text
    texts = {row.find_element("css selector", "h2").text: row.text for row in desk.all(".row")}
    assert "Likely synthetic" in texts["bright.png"] and "Unsure" in texts["in-zip.png"]
    for box in desk.all(".pick input")[:2]:
        box.click()
    desk.find(".buttons button").click()
    desk.until(lambda: desk.path.startswith("/compare"))
    assert len(desk.all(".side-view")) == 2
    blend = desk.until(lambda: desk.find("#blend"))
    desk.run("arguments[0].value = 100; arguments[0].dispatchEvent(new Event('input'))", blend)
    opacity = "return getComputedStyle(document.querySelector('.upper')).opacity"
    desk.until(lambda: desk.run(opacity) == "1")


def test_what_is_signed_is_recognised_and_found_again(desk: Any, site: Any) -> None:
    desk.go("/sign")
    desk.find("#file").send_keys(str(site.picture("made.png", seed=5, size=(384, 512))))
    desk.find("#generator").send_keys("my-model/1.2")
    desk.find("#source_type option[value=trainedAlgorithmicMedia]").click()
    desk.find("button.main").click()
    desk.until(lambda: desk.all("a.main"))
    desk.find("a.main").click()
    signed = desk.driver.downloads / "made-signed.png"
    desk.until(signed.exists)
    desk.find(".buttons form button").click()
    desk.settle()
    assert "Its signed history says so." in desk.find(".verdict h1").text
    node = desk.find(".tree .node")
    assert "Created" in node.text and "my-model 1.2" in node.text and "Holds, and you trust" in node.text
    assert desk.run("return document.querySelector('.tree img').naturalWidth") > 50
    # The same picture after somebody took its history away.
    copy = site.file("copy.jpg", encode_image(read_image(signed.read_bytes()).pixels, "jpeg", quality=85))
    desk.choose(copy)
    desk.settle()
    assert "hidden mark" in desk.find(".verdict h1").text and "records here" in desk.find(".verdict").text
    assert "my-model 1.2" in desk.find(".tree").text and desk.all(".sketch img")
    desk.go("/records")
    assert "my-model/1.2" in desk.find("tbody").text
    desk.go("/keys")
    assert "days left" in desk.find("tbody").text


def test_a_changed_file_is_told(desk: Any, site: Any) -> None:
    signed = desk.driver.downloads / "made-signed.png"
    if not signed.exists():
        test_what_is_signed_is_recognised_and_found_again(desk, site)
    desk.choose(site.file("changed.png", signed.read_bytes() + b"more"))
    desk.settle()
    assert "does not fit" in desk.find(".verdict").text
    assert desk.all(".tree .node.invalid .problem")


@pytest.mark.parametrize(
    "name, data, sentence",
    [
        ("notes.txt", b"only text", "This is not a picture that we can read."),
        ("cut.png", b"\x89PNG\r\n\x1a\n" + bytes(64), "This file is damaged."),
        ("large.jpg", b"\xff\xd8\xff" + bytes(3_000_000), "This picture is too large to be looked at here."),
    ],
)
def test_what_cannot_be_looked_at_says_so(
    desk: Any, site: Any, name: str, data: bytes, sentence: str
) -> None:
    desk.choose(site.file(name, data))
    desk.settle()
    assert desk.find(".verdict h1").text == sentence and name in desk.find("main").text


def test_what_is_far_too_large_is_not_sent(desk: Any, site: Any) -> None:
    desk.choose(site.file("huge.png", b"\x89PNG\r\n\x1a\n" + bytes(9_000_000)))
    desk.until(lambda: "too large" in desk.find("#uploads").text)
    assert desk.path == "/" and "did not work" in desk.find("#progress").text


def test_it_works_without_scripts(desk: Any, site: Any) -> None:
    desk.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        desk.choose(site.picture("bright.png", mean=245))
        desk.find("#drop button.main").click()
        desk.until(lambda: desk.path.startswith("/r/"))
        deadline = time.monotonic() + 120
        while not desk.all("#picture .map"):  # the page loads itself again until the answer is there
            assert time.monotonic() < deadline
            desk.driver.refresh()
            time.sleep(0.3)
        assert "looks as if" in desk.find(".verdict h1").text
        assert not desk.find("#opacity").is_displayed()
    finally:
        desk.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_a_link_that_is_over_says_so(desk: Any) -> None:
    desk.expected.append("404")
    desk.go("/r/nothing")
    assert desk.find("h1").text == "There is nothing under this link, or not any more."


def test_the_saved_file_loads_nothing(desk: Any, site: Any, tmp_path: Path) -> None:
    import urllib.request

    desk.choose(site.picture("bright.png", mean=245))
    desk.settle()
    link = desk.driver.current_url + "/result.html"
    saved = tmp_path / "result.html"
    saved.write_bytes(urllib.request.urlopen(link).read())
    content = base64.b64encode(saved.read_bytes()).decode()
    desk.driver.get("data:text/html;base64," + content)
    assert "looks as if" in desk.find(".verdict h1").text
    widths = desk.run("return [...document.images].map((each) => each.naturalWidth)")
    assert len(widths) >= 2 and all(widths)


def test_german(desk: Any, site: Any) -> None:
    desk.go()
    desk.find(".languages a[lang=de]").click()
    desk.until(lambda: desk.find("h1").text == "Woher kommt dieses Bild?")
    desk.choose(site.picture("bright.png", mean=245))
    desk.settle()
    assert "Wahrscheinlich erzeugt" in desk.find(".verdict").text


def test_everything_is_reached_with_the_keyboard(desk: Any, site: Any) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    desk.choose(site.picture("bright.png", mean=245))
    desk.settle()
    desk.run("document.activeElement.blur(); window.scrollTo(0, 0)")
    body, reached = desk.find("body"), []
    for _ in range(60):
        ActionChains(desk.driver).send_keys(Keys.TAB).perform()
        element = desk.driver.switch_to.active_element
        if element == body:
            break
        reached.append(element.get_attribute("id") or element.get_attribute("href") or element.text)
        style = desk.run(
            "const e = arguments[0], l = e.id === 'map-on' ? document.querySelector('.controls > label') : e;"
            "return getComputedStyle(l).outlineStyle", element
        )  # fmt: skip
        assert style != "none", f"{reached[-1]} does not show that it has the focus"
    wanted = ["#content", "map-on", "opacity", "result.html", "result.json", "print", "other"]
    assert all(any(str(each).endswith(part) for each in reached) for part in wanted), reached


@pytest.mark.parametrize("path", ["/", "/sign", "/records", "/keys", "result", "batch", "compare"])
@pytest.mark.parametrize("dark", [False, True])
def test_narrow_and_dark(desk: Any, site: Any, path: str, dark: bool) -> None:
    size = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    desk.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]}
    desk.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme)
    _open(desk, site, path)
    assert desk.run("return document.documentElement.scrollWidth") <= 360
    ground = desk.run("return getComputedStyle(document.body).backgroundColor")
    shades = [int(each) for each in ground.removeprefix("rgb(").removesuffix(")").split(",")]
    assert (max(shades) < 80) is dark


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/sign",
        "/records?q=none",
        "/keys",
        "/enter",
        "result",
        "signed",
        "signing",
        "failed",
        "batch",
        "compare",
    ],
)
def test_axe_finds_nothing(desk: Any, site: Any, path: str) -> None:
    script = _axe()
    if script is None:
        pytest.skip(f"axe-core is not there: npm pack axe-core, and name its axe.min.js in {AXE}")
    for dark in (False, True):
        scheme = {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]}
        desk.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme)
        if not dark:
            _open(desk, site, path)
        desk.run(script)
        found = desk.driver.execute_async_script(
            "const done = arguments[0]; axe.run(document, { resultTypes: ['violations'] }).then("
            "(r) => done(r.violations.map((v) => [v.id, v.nodes.map((n) => n.html)])))"
        )
        assert found == []


def _open(desk: Any, site: Any, path: str) -> None:
    if path.startswith("/"):
        desk.go(path)
    elif path == "signed":
        signed = desk.driver.downloads / "made-signed.png"
        if not signed.exists():
            test_what_is_signed_is_recognised_and_found_again(desk, site)
        desk.choose(signed)
        desk.settle()
    elif path == "result":
        desk.choose(site.picture("bright.png", mean=245))
        desk.settle()
    elif path == "signing":
        desk.go("/sign")
        desk.find("#file").send_keys(str(site.picture("made.png", seed=5, size=(384, 512))))
        desk.find("button.main").click()
        desk.until(lambda: desk.all("a.main"))
    elif path == "failed":
        desk.choose(site.file("broken.png", site.picture("bright.png", mean=245).read_bytes()[:100]))
        desk.until(lambda: desk.all(".verdict.error"))
    else:
        desk.choose(site.picture("bright.png", mean=245), site.picture("dark.png", mean=60))
        desk.until(lambda: desk.path.startswith("/b/"))
        desk.until(lambda: desk.find("#list").get_attribute("data-poll") == "no")
        if path == "compare":
            for box in desk.all(".pick input"):
                box.click()
            desk.find(".buttons button").click()
            desk.until(lambda: desk.all("#blend"))


def _axe() -> str | None:
    place = os.environ.get(AXE)
    path = Path(place) if place else Path(__file__).with_name("axe.min.js")
    return path.read_text("utf-8") if path.is_file() else None
