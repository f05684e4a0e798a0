"""A real service and a real browser. Both are made once; tests are skipped where there is no Chromium.

Debian and Ubuntu: ``apt-get install chromium chromium-driver`` (or ``chromium-browser`` and
``chromium-chromedriver``). The detector is a drawn one: what is tested is the page, not a verdict.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from countermark.core.images import encode_image
from countermark.core.seeds import rng

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE = 180.0

SERVER = """
import sys
from pathlib import Path
from types import SimpleNamespace
import numpy as np
from countermark.app.service import Settings, context, run_service
from countermark.app.service.page import places
from countermark.core.results import Evidence, Strength

class Paper:
    name, card = "paper", SimpleNamespace(sha256="0" * 64)
    def score(self, images):
        return np.array([float(image.mean()) / 255 for image in images])
    def heatmap(self, image):
        return image.mean(axis=2).astype(np.float32) / 255
    def thresholds(self, max_fpr=0.01):
        return SimpleNamespace(likely=0.9 - max_fpr, unsure=0.4, note="")

class Parts:
    def __init__(self, mode):
        pass
    def evidence(self, name, image):
        detail = {"parts": [{"box": [120, 80, 160, 120]}], "found": True}
        return Evidence("region", "synthetic", Strength.WEAK, "A part.", detail) if "group" in name else None
    def take(self, name):
        mask = np.zeros((30, 40), bool)
        mask[8:20, 12:28] = True
        return mask if "group" in name else None

class Faces:
    def __init__(self, mode):
        pass
    def evidence(self, image):
        return None

places.PartSearch, places.FaceSearch = Parts, Faces
context.Context.detector = lambda self: Paper()
folder = Path(sys.argv[2])
run_service("127.0.0.1", int(sys.argv[1]), settings=Settings(
    repository=f"sqlite:///{folder}/m.db", tokens=folder / "tokens.json", warm=False, max_bytes=2_000_000))
"""


@dataclass
class Site:
    """The service under test and pictures to hand in."""

    url: str
    folder: Path
    log: Path

    def picture(
        self, name: str, mean: float = 128.0, seed: int = 1, size: tuple[int, int] = (300, 400)
    ) -> Path:
        """A drawn picture of about this brightness, which is its score."""
        path = self.folder / name
        if not path.exists():
            path.write_bytes(
                encode_image(draw(seed, *size, mean), "png" if path.suffix == ".png" else "jpeg")
            )
        return path

    def file(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(data)
        return path


def draw(seed: int, height: int, width: int, mean: float) -> np.ndarray:
    chance = rng(seed, "picture")
    layers = chance.normal(0, 4, (height, width, 3)).astype(np.float32)
    for cells in (3, 6, 12, 24):
        grid = chance.normal(0, 1, (cells, cells + 1, 3)).astype(np.float32)
        layers += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) * (50 / cells**0.5)
    layers *= min(1.0, (255 - mean) / 60, mean / 60)
    return np.clip(mean + layers - layers.mean(), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def chromium() -> tuple[str, str]:
    """Paths of the browser and its driver."""
    pytest.importorskip("selenium", reason="selenium is not installed")
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    driver = shutil.which("chromedriver") or shutil.which("chromium.chromedriver")
    if program is None or driver is None:
        pytest.skip("Chromium or its driver is not installed")
    return program, driver


@pytest.fixture(scope="session")
def site(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "log"
    environment = os.environ | {"COUNTERMARK_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"}
    with open(log, "wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(port), str(folder)], stderr=stream, env=environment
        )
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            urllib.request.urlopen(f"{url}/healthz").read()
            break
        except OSError:
            assert time.monotonic() < deadline and process.poll() is None, log.read_text()
            time.sleep(0.1)
    yield Site(url, folder, log)
    process.kill()
    process.wait()


@dataclass
class Desk:
    """A browser window at the page, with what a test does in it."""

    driver: Any
    site: Site
    expected: list[str] = field(default_factory=list)

    def go(self, path: str = "/") -> None:
        self.driver.get(self.site.url + path)

    def find(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def all(self, selector: str) -> list[Any]:
        return self.driver.find_elements("css selector", selector)

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def until(self, holds: Callable[[], Any]) -> Any:
        """Waits until something holds; what is not there yet does not hold."""
        from selenium.common.exceptions import WebDriverException

        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                if found := holds():
                    return found
            except WebDriverException:
                pass
            time.sleep(0.1)
        raise AssertionError(f"it never came true at {self.driver.current_url}: {self.driver.title}")

    @property
    def path(self) -> str:
        return self.driver.current_url.removeprefix(self.site.url)

    def choose(self, *files: Path) -> None:
        """Chooses files at the first page."""
        self.go()
        self.find("#files").send_keys("\n".join(map(str, files)))

    def settle(self) -> None:
        """Waits for the result of one picture, its map included."""
        self.until(lambda: self.path.startswith("/r/"))
        self.until(lambda: self.all(".verdict"))
        self.until(
            lambda: not self.all("#picture") or self.find("#picture").get_attribute("data-state") == "done"
        )


@pytest.fixture(scope="session")
def _driver(chromium: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    options.binary_location = chromium[0]
    for switch in (
        "headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync",
        "disable-background-networking", "disable-component-update", "disable-dev-shm-usage",
        f"user-data-dir={tmp_path_factory.mktemp('browser')}",
    ):  # fmt: skip
        options.add_argument(f"--{switch}")
    downloads = tmp_path_factory.mktemp("downloads")
    options.add_experimental_option(
        "prefs",
        {"intl.accept_languages": "en-GB", "download.default_directory": str(downloads)},
    )
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(chromium[1]))
    driver.downloads = downloads
    yield driver
    driver.quit()


@pytest.fixture
def desk(_driver: Any, site: Site) -> Iterator[Desk]:
    """A window of 1280 pixels. Afterwards: no console error, and no request but to the service."""
    for kind in ("browser", "performance"):
        _driver.get_log(kind)
    _driver.delete_all_cookies()
    size = {"width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    _driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    _driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    _driver.execute_cdp_cmd("Network.enable", {})
    made = Desk(_driver, site)
    yield made
    errors = [
        line["message"]
        for line in _driver.get_log("browser")
        if line["level"] in ("SEVERE", "WARNING")
        and not any(part in line["message"] for part in made.expected)
    ]
    assert not errors
    assert not foreign_requests(_driver.get_log("performance"), site.url)


def foreign_requests(log: list[dict[str, Any]], url: str) -> list[str]:
    """Addresses that the page asked for and that are not the service's."""
    import json

    found = []
    for line in log:
        message = json.loads(line["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            address = message["params"]["request"]["url"]
            if not address.startswith((url + "/", "data:", "chrome://")):  # the browser's own first tab
                found.append(address)
    return found
