"""The one loop of steps: budgets, a full disk, signals, losses gone wrong, what follows a step."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import pytest
import torch

from countermark.core.errors import ConfigError, OutputError, TrainingError, WeightsError
from countermark.core.files import sha256_file
from countermark.core.notices import NOTICE, PLAIN_SECONDS
from countermark.generators.training.checkpoints import FILE, Progress
from countermark.generators.training.progress import TrainingBar
from countermark.generators.training.steps import After, Losses, Step, StepLoop, set_rates


class Line:
    """The smallest training: one weight that wants to be 3."""

    def __init__(self, out: Path | None, **options: object) -> None:
        torch.manual_seed(0)
        self.network = torch.nn.Linear(1, 1, bias=False)
        self.optimiser = torch.optim.Adam(self.network.parameters(), 0.1)
        settings = {"batch": 2, "images": 8, "rate": 0.1, **options}
        self.loop = StepLoop(out, **settings)  # type: ignore[arg-type]
        self.shares: list[float] = []

    def step(self, progress: Progress, share: float) -> dict[str, float]:
        self.shares.append(share)
        value = (self.network(torch.ones(1, 1)) - 3).square().mean()
        self.optimiser.zero_grad()
        value.backward()
        self.optimiser.step()
        return {"loss": float(value.detach())}

    def run(self, step: Step | None = None, after: After | None = None, **identity: object) -> Progress:
        modules, optimisers = {"network": self.network}, {"optimiser": self.optimiser}
        return self.loop.run(step or self.step, modules, optimisers, identity, after=after)


def test_the_budget_is_used_up_and_no_more(tmp_path: Path) -> None:
    line = Line(tmp_path)
    assert line.run() == Progress(step=4, images=8, seconds=pytest.approx(0, abs=5))
    assert line.shares == [0, 0.25, 0.5, 0.75] and (tmp_path / FILE).exists()
    ticks = iter(range(0, 10_000, 5))
    timed = Line(tmp_path / "timed", images=10**6, minutes=1, clock=lambda: float(next(ticks)))
    assert timed.run().step == 12 and max(timed.shares) < 1


@pytest.mark.parametrize("options", [{"images": 0}, {"minutes": 0.0}, {"minutes": -1.0}])
def test_budgets_that_are_none_are_refused(tmp_path: Path, options: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        Line(tmp_path, **options).loop.check("own.safetensors")


def test_a_used_folder_is_refused_unless_it_is_resumed(tmp_path: Path) -> None:
    Line(tmp_path).run()
    with pytest.raises(OutputError) as used:
        Line(tmp_path).loop.check("own.safetensors")
    assert used.value.code == "output.exists" and "--resume" in used.value.hint
    resumed = Line(tmp_path, images=12, resume=True)
    resumed.loop.check("own.safetensors")
    assert resumed.run().step == 6 and len(resumed.shares) == 2
    with pytest.raises(WeightsError) as other:
        Line(tmp_path, images=12, resume=True).run(seed=4)
    assert other.value.code == "weights.family"


def test_a_signal_ends_it_after_the_step_with_a_checkpoint(tmp_path: Path) -> None:
    whole, cut = Line(tmp_path / "whole"), Line(tmp_path / "cut")
    whole.run()

    def interrupted(progress: Progress, share: float) -> dict[str, float]:
        if progress.step == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return cut.step(progress, share)

    with pytest.raises(TrainingError, match="4 images") as error:
        cut.run(interrupted)
    assert error.value.code == "training.stopped"
    rest = Line(tmp_path / "cut", resume=True)
    rest.run()
    assert torch.equal(rest.network.weight, whole.network.weight)


@pytest.mark.parametrize("what", ["loss", "weight"])
def test_what_is_not_a_number_stops_and_keeps_the_checkpoint(tmp_path: Path, what: str) -> None:
    Line(tmp_path).run()
    before = sha256_file(tmp_path / FILE)
    line = Line(tmp_path, images=12, resume=True)

    def poisoned(progress: Progress, share: float) -> dict[str, float]:
        loss = line.step(progress, share)
        if what == "loss":
            return {"loss": float("nan")}
        torch.nn.init.constant_(line.network.weight, float("inf"))
        return loss

    with pytest.raises(TrainingError, match="not a number") as error:
        line.run(poisoned)
    assert error.value.code == "training.diverged" and "now 0.1; try 0.03" in error.value.hint
    assert str(tmp_path / FILE) in error.value.hint and sha256_file(tmp_path / FILE) == before


def test_a_full_disk_stops_and_keeps_the_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Line(tmp_path).run()
    before = sha256_file(tmp_path / FILE)

    def full(*args: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("countermark.core.files.write_all", full)
    with pytest.raises(TrainingError, match="No space left") as error:
        Line(tmp_path, images=12, resume=True).run()
    assert error.value.code == "training.disk" and "Free some space" in error.value.hint
    assert str(tmp_path / FILE) in error.value.hint and sha256_file(tmp_path / FILE) == before


def test_rates_fall_with_whatever_of_the_budget_is_used_up_first(tmp_path: Path) -> None:
    """By the minutes alone they would still be full when the images end it."""
    ticks = iter(range(10_000))
    line = Line(tmp_path, minutes=10, clock=lambda: float(next(ticks)))
    line.run()
    assert line.shares == [0, 0.25, 0.5, 0.75]


def test_what_follows_a_step_sees_it_and_may_end_the_training(tmp_path: Path) -> None:
    seen: list[tuple[int, float, list[str]]] = []

    def after(at: Progress, share: float, losses: Losses) -> bool:
        seen.append((at.step, share, list(losses)))
        return at.step == 3

    assert Line(tmp_path).run(after=after).images == 6
    assert seen == [(1, 0.25, ["loss"]), (2, 0.5, ["loss"]), (3, 0.75, ["loss"])]
    assert (tmp_path / FILE).exists()


def test_without_a_folder_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    line = Line(None)
    assert line.run().step == 4 and not list(tmp_path.iterdir())

    def interrupted(progress: Progress, share: float) -> dict[str, float]:
        os.kill(os.getpid(), signal.SIGINT)
        return line.step(progress, share)

    with pytest.raises(TrainingError, match="2 images") as stopped:
        line.run(interrupted)
    assert stopped.value.code == "training.stopped" and stopped.value.hint == "Nothing was kept."
    with pytest.raises(TrainingError) as wrong:
        line.run(lambda progress, share: {"loss": float("inf")})
    assert wrong.value.code == "training.diverged" and "checkpoint" not in wrong.value.hint


def test_the_bar_names_losses_rate_and_time_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    monkeypatch.setattr(
        "rich.progress.Progress.update", lambda self, task, **fields: notes.append(fields["note"])
    )
    ticks = iter(range(10_000))
    Line(tmp_path, images=40, title="a line", clock=lambda: float(next(ticks))).run()
    assert len(notes) == 2 and notes[0].startswith("2 img/s  0:10 left  loss ")


def test_rates_are_full_and_fall_at_the_end() -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([weight], 1.0)
    rates = []
    for share in (0.0, 0.5, 0.8, 1.0):
        set_rates([(optimiser, 2.0)], share, last=0.5)
        rates.append(optimiser.param_groups[0]["lr"])
    assert rates == pytest.approx([2.0, 2.0, 0.84, 0.04])


def test_lines_come_from_time_to_time_where_no_terminal_looks_on(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    at, begun = Progress(10, 400, 20.0), Progress(0, 0, 0.0)
    with (
        caplog.at_level(NOTICE, "countermark"),
        TrainingBar("Training x", clock=lambda: now[0]) as bar,
        TrainingBar("Silent", enabled=False, clock=lambda: now[0]) as silent,
    ):
        for _ in range(30):
            now[0] += PLAIN_SECONDS / 10
            bar.show(0.25, at, begun, {"loss": 0.5})
            silent.show(0.25, at, begun, {})
    assert caplog.messages == ["Training x: 25 %, 20 img/s 1:00 left loss 0.50"] * 3
