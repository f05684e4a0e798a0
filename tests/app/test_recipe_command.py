from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from countermark.cli import app
from countermark.core.images import write_image

RECIPE = """
name = "tiny"
[network]
trunk = "random"
depth = 1
blocks = [1]
[draws]
deliveries = ["native"]
histories = 0
hard = 0
twins = 0
measured = []
[calibration]
folds = 3
kind = "platt"
"""


def test_a_recipe_that_runs_out_of_time_says_so_and_goes_on(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for index in range(12):
        for label, low in (("real", 0), ("synthetic", 120)):
            pixels = generator.integers(low, low + 130, (40, 40, 3)).astype(np.uint8)
            write_image(tmp_path / "corpus" / label / f"s{index % 4}" / f"{index}.png", pixels)
    (tmp_path / "tiny.toml").write_text(RECIPE)
    arguments = ["recipe", str(tmp_path / "tiny.toml"), "--corpus", str(tmp_path / "corpus")]
    arguments += ["--out", str(tmp_path / "out"), "--work", str(tmp_path / "work")]
    runner = CliRunner()
    first = runner.invoke(app, [*arguments, "--minutes", "0"], standalone_mode=False)
    assert first.return_value == 3 and not (tmp_path / "out").exists()
    second = runner.invoke(app, arguments, standalone_mode=False)
    assert second.return_value == 0, second.output
    assert (tmp_path / "out" / "tiny.safetensors").is_file()
