"""The wheel's bill of materials: complete, valid by its schema, the same for the same wheel."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path
from zipfile import ZipFile

import pytest
import sbom

from countermark.core.errors import ConfigError

ABOUT = """Metadata-Version: 2.4
Name: Example
Version: 1.2
License-Expression: Apache-2.0
Requires-Dist: rich>=13
Requires-Dist: numpy
Requires-Dist: nothing-of-this-name; sys_platform == 'none'
Requires-Dist: pytest; extra == 'test'
"""


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "example-1.2-py3-none-any.whl"
    with ZipFile(path, "w") as archive:
        archive.writestr("example-1.2.dist-info/METADATA", ABOUT)
        archive.writestr("example/one-00001-of-00002.safetensors", b"first")
        archive.writestr("example/one-00002-of-00002.safetensors", b"second")
        archive.writestr("example/one.card.json", json.dumps({"licence": "MIT"}))
        archive.writestr("example/two.safetensors", b"two")
    return path


def test_packages_weights_and_what_needs_what(wheel: Path) -> None:
    text = sbom.bill(wheel)
    assert sbom.faults(text) == "" and text == sbom.bill(wheel)
    found = json.loads(text)
    root = found["metadata"]["component"]
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert (root["version"], root["hashes"]) == ("1.2", [{"alg": "SHA-256", "content": digest}])
    assert root["licenses"] == [{"expression": "Apache-2.0"}]
    models = {each["name"]: each for each in root["components"]}
    assert len(models) == 3 and {each["type"] for each in models.values()} == {"machine-learning-model"}
    second = models["one-00002-of-00002.safetensors"]
    assert second["hashes"][0]["content"] == hashlib.sha256(b"second").hexdigest()
    assert (
        second["licenses"] == [{"license": {"name": "MIT"}}] and "licenses" not in models["two.safetensors"]
    )
    packages = {each["name"].lower(): each for each in found["components"]}
    assert packages["rich"]["version"] == distribution("rich").version
    assert packages["rich"]["purl"].startswith("pkg:pypi/rich@")
    assert {"numpy", "pygments", "markdown-it-py"} <= set(packages), "what rich needs, too"
    assert not {"pytest", "nothing-of-this-name"} & set(packages), "extras and other systems are not needed"
    edges = {each["ref"]: each.get("dependsOn", []) for each in found["dependencies"]}
    assert edges["wheel"] == ["package:numpy", "package:rich"]
    assert "package:pygments" in edges["package:rich"]


def test_what_is_missing_or_no_wheel_is_said(wheel: Path, tmp_path: Path) -> None:
    with ZipFile(tmp_path / "other.whl", "w") as archive:
        archive.writestr(
            "x-1.dist-info/METADATA", "Name: x\nVersion: 1\nRequires-Dist: no-such-package-here\n"
        )
    with pytest.raises(ConfigError) as caught:
        sbom.bill(tmp_path / "other.whl")
    assert caught.value.code == "sbom.missing" and "no-such-package-here" in caught.value.message
    with ZipFile(tmp_path / "none.whl", "w") as archive:
        archive.writestr("a.txt", "")
    with pytest.raises(ConfigError) as caught:
        sbom.bill(tmp_path / "none.whl")
    assert caught.value.code == "sbom.wheel"


def test_the_schema_refuses_what_is_no_bill(wheel: Path) -> None:
    found = json.loads(sbom.bill(wheel))
    found["components"][0]["type"] = "sandwich"
    assert "sandwich" in sbom.faults(json.dumps(found))


def test_it_is_written_beside_the_wheel(wheel: Path) -> None:
    command = [sys.executable, sbom.__file__, str(wheel)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "3 files of weights" in done.stdout
    assert json.loads(wheel.with_suffix(".cdx.json").read_text())["bomFormat"] == "CycloneDX"
