"""A clip that is encoded again keeps its frames, their times, its sound and its texts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from countermark.core.errors import OutputError
from countermark.core.video.reader import open_clip
from countermark.core.video.sampling import Sampling
from countermark.core.video.writer import ClipWriter

av = pytest.importorskip("av")


def copy(source: Path, target: Path, container: str, **options: object) -> int:
    with (
        open_clip(source, Sampling(whole=True)) as clip,
        ClipWriter(target, source, clip.facts, container=container, texts=clip.texts, **options) as writer,
    ):
        for frame in clip:
            writer.add(frame)
    return writer.frames


@pytest.mark.parametrize("container", ["mp4", "mov", "mkv"])
def test_frames_times_sound_and_texts_stay(make_clip, tmp_path: Path, container: str) -> None:
    texts = {"title": "a walk", "AIGC": '{"Label":"1"}'}
    source = make_clip(tmp_path / "a.mp4", count=12, sound=True, stamps=[*range(11), 30], texts=texts)
    target = tmp_path / f"b.{container}"
    assert copy(source, target, container) == 12
    with av.open(str(source)) as before, av.open(str(target)) as after:
        names = {key.lower(): value for key, value in after.metadata.items()}
        assert names["title"] == "a walk" and "AIGC".lower() in names
        sounds = [[bytes(p) for p in each.demux(audio=0) if p.size] for each in (before, after)]
        assert sounds[0] == sounds[1], "sound is copied"
    with av.open(str(source)) as before, av.open(str(target)) as after:
        times = [[f.time for f in each.decode(video=0)] for each in (before, after)]
        shift = times[1][0] - times[0][0]
        assert [t - shift for t in times[1]] == pytest.approx(times[0], abs=0.002)
    with av.open(str(source)) as before, av.open(str(target)) as after:
        pairs = zip(before.decode(video=0), after.decode(video=0), strict=True)
        for one, other in pairs:
            a, b = (f.to_ndarray(format="rgb24").astype(int) for f in (one, other))
            assert np.abs(a - b).mean() < 6


def test_odd_sizes_are_kept(make_clip, tmp_path: Path) -> None:
    frames = [np.full((121, 161, 3), 40 * n, np.uint8) for n in range(4)]
    source = make_clip(tmp_path / "a.mp4", frames, pixels="yuv444p")
    assert copy(source, tmp_path / "b.mp4", "mp4") == 4
    with open_clip(tmp_path / "b.mp4", Sampling(whole=True)) as clip:
        assert {f.pixels.shape for f in clip} == {(121, 161, 3)}


def test_what_cannot_be_written_is_an_error(make_clip, tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", count=4, sound=True)
    with pytest.raises(OutputError, match="aac"):
        copy(source, tmp_path / "b.webm", "webm")
    with pytest.raises(OutputError):
        copy(source, tmp_path / "missing" / "b.mp4", "mp4")


def test_frames_of_several_sizes_are_refused(make_clip, tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", count=3)
    with open_clip(source, Sampling(whole=True)) as clip:
        frames, facts = list(clip), clip.facts
    with (
        pytest.raises(OutputError, match="different sizes"),
        ClipWriter(tmp_path / "b.mp4", source, facts) as writer,
    ):
        writer.add(frames[0])
        writer.add(replace(frames[1], pixels=frames[1].pixels[:100]))
