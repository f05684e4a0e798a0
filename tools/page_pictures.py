"""Pictures of every view of the page, taken in Chromium from a service with the shipped detector.

``python tools/page_pictures.py OUT`` writes one PNG a view to ``OUT``: wide, at 360 px (``-narrow``) and
in dark colours (``-dark``). With ``--docs docs/images`` the pictures that the documents show are written
there too. What is looked at is drawn by the shipped generators or comes with scikit-learn (photographs
by danielbuechele and vultilion, CC BY 2.0), so that nothing else is needed.

Needs the extras ``serve``, ``video`` and ``test``, and Debian's ``chromium`` and ``chromium-driver``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from countermark.core.files import atomic_write
from countermark.core.images import Pixels, encode_image, read_image

PATIENCE = 240.0
WIDE, NARROW = 1100, 360
#: What the documents show: name of a picture there, and the view with the part of it that is cut out.
SHOWN = {
    "page-result": ("result", ".verdict", "#picture + section"),
    "page-history": ("signed-result", "[aria-labelledby=evidence-title]", "[aria-labelledby=history-title]"),
    "page-part": ("part", ".verdict", "#picture"),
    "page-clip": ("clip", ".verdict", "[aria-labelledby=clip-title]"),
}

#: Of the landscapes that are drawn: those that can be made out best.
CLEAREST = (10, 13, 16)


def samples(folder: Path) -> dict[str, Path]:
    """Pictures and a clip, by what they show."""
    from sklearn.datasets import load_sample_image

    from countermark.app.clips.drawing import draw_clip
    from countermark.app.generate import generate

    drawn = generate("landscapes-256", 24, out=folder / "drawn", seed=3).paths
    temple = np.ascontiguousarray(load_sample_image("china.jpg"))
    flower = np.ascontiguousarray(load_sample_image("flower.jpg"))
    pixels = [read_image(drawn[place]).pixels for place in CLEAREST]
    return {
        "scene": _png(folder / "from-the-agency.png", pixels[0]),
        "other": _png(folder / "reader-photo.png", pixels[1]),
        "made": _png(folder / "marsh.png", pixels[2]),
        "photo": atomic_write(folder / "temple.jpg", encode_image(temple, "jpeg", quality=92)),
        "painted": _png(folder / "temple-received.png", painted(temple)),
        "second": atomic_write(folder / "dahlia.jpg", encode_image(flower, "jpeg", quality=92)),
        "clip": draw_clip(pixels[:3], folder / "statement.mp4"),
    }


def painted(pixels: Pixels) -> Pixels:
    """The picture with a part painted over from its surroundings."""
    mask = np.zeros(pixels.shape[:2], np.uint8)
    cv2.ellipse(mask, (430, 200), (80, 60), 0, 0, 360, (255.0,), -1)
    filled: Pixels = cv2.inpaint(pixels, mask, 5, cv2.INPAINT_TELEA).astype(np.uint8)
    return filled


def _png(path: Path, pixels: Pixels) -> Path:
    return atomic_write(path, encode_image(pixels, "png"))


@contextmanager
def service(home: Path) -> Iterator[str]:
    """The service as users start it, with an empty home; gives its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {"COUNTERMARK_HOME": str(home)}
    command = [sys.executable, "-m", "countermark", "serve", "--port", str(port)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"{address}/healthz").read()
                break
            except OSError:
                time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait()


class Camera:
    """A browser window that takes pictures of whole pages."""

    def __init__(self, address: str, out: Path, profile: Path) -> None:
        from selenium import webdriver
        from selenium.webdriver.chrome.options import Options
        from selenium.webdriver.chrome.service import Service

        program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")
        options = Options()
        options.binary_location = program
        for switch in ("headless", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "hide-scrollbars"):
            options.add_argument(f"--{switch}")
        options.add_argument(f"--user-data-dir={profile}")
        options.add_experimental_option(
            "prefs",
            {"intl.accept_languages": "en-GB", "download.default_directory": str(profile)},
        )
        self.driver: Any = webdriver.Chrome(
            options=options, service=Service(shutil.which("chromedriver") or "")
        )
        self.address, self.out, self.downloads = address, out, profile

    def go(self, path: str) -> None:
        self.driver.get(self.address + path)

    def find(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def until(self, holds: Callable[[], Any]) -> Any:
        from selenium.common.exceptions import WebDriverException

        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                if found := holds():
                    return found
            except WebDriverException:
                pass
            time.sleep(0.2)
        raise TimeoutError(f"nothing came at {self.driver.current_url}")

    def look(self, *files: Path) -> str:
        """Hands files in; returns the address of what came of it once all is there."""
        self.go("/")
        self.find("#files").send_keys("\n".join(map(str, files)))
        if len(files) > 1:
            self.until(lambda: self.find("#list").get_attribute("data-poll") == "no")
        else:
            self.until(self._settled)
        return str(self.driver.current_url).removeprefix(self.address)

    def _settled(self) -> bool:
        """Whether a result with its map is there, or why there is none."""
        if self.driver.find_elements("css selector", ".verdict.error"):
            return True
        return bool(self.find("#picture").get_attribute("data-state") == "done")

    def take(self, name: str) -> None:
        """The view as it stands: wide, dark, narrow."""
        for kind, width, scheme in (
            ("", WIDE, "light"),
            ("-dark", WIDE, "dark"),
            ("-narrow", NARROW, "light"),
        ):
            (self.out / f"{name}{kind}.png").write_bytes(self.shot(width, scheme))

    def shot(self, width: int, scheme: str, clip: dict[str, float] | None = None) -> bytes:
        import base64

        command = self.driver.execute_cdp_cmd
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        command("Emulation.setDeviceMetricsOverride", size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        command("Emulation.setEmulatedMedia", {"features": features})
        time.sleep(0.3)
        options: dict[str, Any] = {"format": "png", "captureBeyondViewport": True}
        if clip is not None:
            options["clip"] = clip | {"scale": 1}
        return base64.b64decode(command("Page.captureScreenshot", options)["data"])

    def between(self, first: str, last: str) -> bytes:
        """The view from one element's top to another's bottom, wide."""
        script = """
            const place = (s) => document.querySelector(s).getBoundingClientRect();
            const [top, bottom] = [place(arguments[0]).top, place(arguments[1]).bottom];
            return [top + scrollY - 16, bottom - top + 32];"""
        self.shot(WIDE, "light")
        top, height = self.driver.execute_script(script, first, last)
        return self.shot(WIDE, "light", {"x": 0, "y": max(0.0, top), "width": WIDE, "height": height})


def walk(camera: Camera, files: dict[str, Path], docs: Path | None) -> None:
    """Goes through every view."""

    def take(name: str) -> None:
        camera.take(name)
        for shown, (view, first, last) in SHOWN.items():
            if view == name and docs is not None:
                atomic_write(docs / f"{shown}.png", slim(camera.between(first, last)), overwrite=True)

    camera.go("/")
    take("home")
    camera.look(files["scene"])
    take("result")
    camera.look(files["painted"])
    take("part")
    camera.look(files["clip"])
    take("clip")
    camera.look(files["scene"], files["photo"], files["second"], files["painted"])
    take("batch")
    for box in camera.driver.find_elements("css selector", ".pick input")[1::2]:
        box.click()
    camera.find("form[action='/compare'] button").click()
    camera.until(lambda: camera.find("#blend"))
    take("compare")
    camera.go("/sign")
    camera.find("#file").send_keys(str(files["made"]))
    camera.find("#generator").send_keys("countermark/landscapes-256")
    camera.find("#source_type option[value=trainedAlgorithmicMedia]").click()
    take("sign")
    camera.find("button.main").click()
    camera.until(lambda: camera.find("a.main")).click()
    take("signed")
    camera.find(".buttons form button").click()
    camera.until(lambda: camera.find("#picture").get_attribute("data-state") == "done")
    take("signed-result")
    received = camera.downloads / "marsh-signed.png"
    camera.until(received.exists)
    copy = atomic_write(
        files["made"].with_name("received.jpg"),
        encode_image(read_image(received).pixels[20:, 30:], "jpeg", quality=80),
    )
    camera.look(copy)
    take("recovered")
    camera.look(_broken(files["photo"]))
    take("failed")
    for name in ("records", "keys"):
        camera.go(f"/{name}")
        take(name)
    camera.find("#audit-file").send_keys(str(_audit(files, received)))
    camera.find("form[action='/audit'] button").click()
    camera.until(lambda: "Audit" in camera.driver.title)
    take("audit")


def _broken(photo: Path) -> Path:
    return atomic_write(photo.with_name("broken.jpg"), photo.read_bytes()[:200])


def _audit(files: dict[str, Path], signed: Path) -> Path:
    """The report of the demo's policy on what was looked at: too little to decide much, and it says so."""
    import json

    from countermark.app.audit import audit_with_images, starter
    from countermark.reports import audit_document

    place = files["made"].parent
    for label, names in (("real", ("photo", "second")), ("synthetic", ("scene", "other"))):
        for name in names:
            atomic_write(place / "corpus" / label / files[name].name, files[name].read_bytes())
    atomic_write(place / "signed" / signed.name, signed.read_bytes())
    policy = atomic_write(place / "policy.toml", starter("demo"))
    evidence = {"corpus": place / "corpus", "signed": place / "signed"}
    report, _ = audit_with_images(policy, evidence=evidence)
    return atomic_write(place / "audit.json", json.dumps(audit_document(report)))


def slim(png: bytes) -> bytes:
    """The picture packed as well as PNG can, without transparency."""
    import io

    from PIL import Image

    out = io.BytesIO()
    with Image.open(io.BytesIO(png)) as picture:
        picture.convert("RGB").save(out, "PNG", optimize=True)
    return out.getvalue()


def main() -> None:
    """Takes the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("out", type=Path)
    parser.add_argument("--docs", type=Path)
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        files = samples(folder)
        with service(folder / "home") as address:
            camera = Camera(address, chosen.out, folder / "browser")
            try:
                walk(camera, files, chosen.docs)
            finally:
                camera.driver.quit()


if __name__ == "__main__":
    main()
