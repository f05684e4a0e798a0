"""Clips of every container, and everything that can be wrong with one: frames, or a clear error."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from countermark.core.errors import ClipError, ConfigError, MissingExtraError
from countermark.core.video import decoding, reader
from countermark.core.video.reader import open_clip
from countermark.core.video.sampling import DEFAULT_CLIP_LIMITS, Sampling

av = pytest.importorskip("av")


def seen(path: Path, sampling: Sampling | None = None, **limits: object):
    with open_clip(path, sampling or Sampling(count=4), replace(DEFAULT_CLIP_LIMITS, **limits)) as clip:
        frames = list(clip)
    return clip, frames


def code(path: Path, sampling: Sampling | None = None, **limits: object) -> str:
    with pytest.raises(ClipError) as caught:
        seen(path, sampling, **limits)
    assert str(path) in caught.value.message
    return caught.value.code


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "libx264"), ("a.mov", "libx264"), ("a.mkv", "libx264"), ("a.webm", "libvpx-vp9")],
)
def test_every_container_gives_evenly_spaced_frames(make_clip, tmp_path: Path, name: str, codec: str) -> None:
    clip, frames = seen(make_clip(tmp_path / name, codec=codec), Sampling(count=4, snap=False))
    assert clip.facts.container == name[2:] and clip.facts.seconds == pytest.approx(2.0, abs=0.15)
    assert [f.time for f in frames] == pytest.approx([0.25, 0.75, 1.25, 1.75], abs=0.21)
    assert {f.pixels.shape for f in frames} == {(240, 320, 3)} and frames[0].pixels.dtype == np.uint8
    assert clip.trouble is None and clip.facts.notes == ()


def test_a_key_frame_nearby_is_taken_instead(make_clip, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", count=40, g="10")
    _, frames = seen(path, Sampling(count=4, scenes=0.0))
    assert [f.time for f in frames] == [0.0, 1.0, 2.0, 3.0] and all(f.key for f in frames)


def test_a_frame_after_a_scene_change_is_looked_at_besides(make_clip, tmp_path: Path) -> None:
    dark = [np.full((240, 320, 3), 20, np.uint8)] * 33
    bright = [np.full((240, 320, 3), 220, np.uint8)] * 47
    _, frames = seen(make_clip(tmp_path / "a.mp4", dark + bright, bf="0"), Sampling(count=8, snap=False))
    assert [round(f.time, 1) for f in frames if f.scene] == [3.3] and len(frames) == 9


def test_every_and_the_most_frames_bound_each_other(make_clip, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", count=40, g="1")
    assert len(seen(path, Sampling(count=100, every=0.5))[1]) == 8
    assert len(seen(path, Sampling(count=3, every=0.5))[1]) == 3
    assert len(seen(path, Sampling(whole=True))[1]) == 40
    for wrong in ({"count": 0}, {"every": 0.0}, {"count": 10**9}):
        with pytest.raises(ConfigError):
            Sampling(**wrong)


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "AVIF"])
def test_animated_pictures_come_the_same_way(tmp_path: Path, format: str) -> None:
    pictures = [Image.fromarray(np.full((60, 80, 3), 20 * n, np.uint8)) for n in range(10)]
    path = tmp_path / f"a.{format.lower()}"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=100)
    clip, frames = seen(path, Sampling(count=32))
    assert [f.time for f in frames] == pytest.approx([0.1 * n for n in range(10)])
    assert [f.pixels.mean() for f in frames] == pytest.approx([20.0 * n for n in range(10)], abs=3)
    assert len(seen(path, Sampling(count=5))[1]) == 5 and len(seen(path, Sampling(every=0.5))[1]) == 2
    assert clip.facts.seconds == pytest.approx(1.0) and clip.facts.frames == 10


def test_a_turned_clip_is_upright(make_clip, tmp_path: Path) -> None:
    left = np.zeros((240, 320, 3), np.uint8)
    left[:, :160] = 255
    path = make_clip(tmp_path / "a.mp4", [left] * 5)
    data = path.read_bytes()
    one, quarter = b"\0\1\0\0", b"\0\1\0\0\0\0\0\0\0\0\0\0" + b"\xff\xff\0\0"
    at = data.index(b"tkhd") + 4 + 40
    matrix = b"\0\0\0\0" + quarter + b"\0" * 16 + b"\x40\0\0\0"  # a quarter turn clockwise
    assert data[at : at + 4] == one
    path.write_bytes(data[:at] + matrix[:36] + data[at + 36 :])
    clip, frames = seen(path)
    assert frames[0].pixels.shape == (320, 240, 3) and (clip.facts.width, clip.facts.height) == (240, 320)
    assert frames[0].pixels[:100].mean() > 200 > 60 > frames[0].pixels[-100:].mean()
    assert any("turned" in note for note in clip.facts.notes)


def test_uneven_frame_rates_keep_their_times(make_clip, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mkv", count=5, stamps=[0, 1, 2, 30, 40], bf="0", g="1")
    _, frames = seen(path, Sampling(whole=True))
    assert [f.time for f in frames] == pytest.approx([0, 0.1, 0.2, 3.0, 4.0], abs=0.01)


def test_one_field_of_an_interlaced_clip_is_looked_at(make_clip, tmp_path: Path) -> None:
    comb = np.zeros((240, 320, 3), np.uint8)
    comb[0::2] = 200
    path = make_clip(tmp_path / "a.mp4", [comb] * 5, **{"x264-params": "tff=1"}, flags="+ilme+ildct")
    clip, frames = seen(path)
    assert frames[0].pixels.std() < 12, "no comb is left"
    assert frames[0].interlaced and any("interlaced" in note for note in clip.facts.notes)


def test_high_dynamic_range_and_transparency_are_noted(make_clip, tmp_path: Path) -> None:
    wide = make_clip(tmp_path / "hdr.mov", count=3, codec="prores_ks", pixels="yuv422p10le", transfer=16)
    clip, frames = seen(wide)
    assert any("high dynamic range" in note for note in clip.facts.notes) and frames[0].bits == 10
    clear = np.zeros((240, 320, 4), np.uint8)
    clip, frames = seen(make_clip(tmp_path / "a.mov", [clear] * 3, codec="qtrle", pixels="argb"))
    assert frames[0].pixels.min() == 255 and "alpha laid over white" in clip.facts.notes


def test_frames_of_changing_size_are_all_seen(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as target:
        stream = target.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuvj420p"
        number = 0
        for width, height in ((320, 240), (160, 120)):
            context = av.CodecContext.create("mjpeg", "w")
            context.width, context.height, context.pix_fmt = width, height, "yuvj420p"
            context.time_base = Fraction(1, 10)
            for _ in range(4):
                frame = av.VideoFrame.from_ndarray(np.full((height, width, 3), 90, np.uint8), format="rgb24")
                frame.pts = number
                for packet in context.encode(frame.reformat(format="yuvj420p")):
                    packet.stream, packet.pts, packet.dts = stream, number, number
                    target.mux(packet)
                number += 1
    clip, frames = seen(path, Sampling(whole=True))
    assert {f.pixels.shape for f in frames} == {(240, 320, 3), (120, 160, 3)} and len(frames) == 8
    assert any("size" in note for note in clip.facts.notes)


def test_sound_alone_is_no_clip(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as target:
        stream = target.add_stream("aac", rate=44_100)
        for number in range(20):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts = 44_100, 1024 * number
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    assert code(path) == "clip.no-video"


def test_a_clip_of_which_only_the_beginning_is_left(make_clip, tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "a.mkv", count=40, g="5").read_bytes()
    path = tmp_path / "cut.mkv"
    path.write_bytes(whole[: len(whole) // 2])
    _, frames = seen(path, Sampling(count=8))
    assert 2 <= len(frames) < 8, "what came before the end is looked at"
    without = make_clip(tmp_path / "b.mp4").read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(without[: without.index(b"moov") - 4])
    assert code(path) == "clip.damaged"


def test_frames_that_are_all_broken_are_told_from_none(make_clip, tmp_path: Path) -> None:
    data = bytearray(make_clip(tmp_path / "a.mp4").read_bytes())
    start = data.index(b"mdat") + 4
    stop = start - 8 + int.from_bytes(data[start - 8 : start - 4], "big")
    data[start:stop] = b"\xff" * (stop - start)
    path = tmp_path / "broken.mp4"
    path.write_bytes(data)
    assert code(path) == "clip.no-frames"
    empty = tmp_path / "empty.mp4"
    with av.open(str(empty), "w") as target:
        stream = target.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        target.start_encoding()
    assert code(empty) in ("clip.no-frames", "clip.no-video", "clip.damaged", "clip.too-many-pixels")


def test_bounds_hold_before_anything_is_decoded(make_clip, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4")
    assert code(path, max_bytes=100) == "clip.too-large"
    assert code(path, max_pixels=320 * 239) == "clip.too-many-pixels"
    assert code(path, max_side=319) == "clip.too-many-pixels"
    assert code(path, max_seconds=1.0) == "clip.too-long"
    assert code(tmp_path / "none.mp4") == "image.missing"
    (tmp_path / "nothing.mp4").write_bytes(b"")
    assert code(tmp_path / "nothing.mp4") == "image.empty"


def test_memory_is_bounded(make_clip, tmp_path: Path) -> None:
    pytest.importorskip("resource")
    path = make_clip(tmp_path / "a.mp4")
    assert code(path, memory_bytes=60 << 20) in ("clip.stopped", "clip.too-much-memory", "clip.damaged")


def test_a_decoder_that_says_nothing_is_ended(
    make_clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stuck(*arguments: object) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", "import time; time.sleep(600)"]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)

    monkeypatch.setattr(reader, "_start", stuck)
    assert code(make_clip(tmp_path / "a.mp4"), idle_seconds=0.3) == "clip.stopped"


@pytest.mark.parametrize("answer", [b"", b"not json\n", b'{"bytes": -1}\n', b'{"bytes": 10}\nabc', b"[]\n"])
def test_a_decoder_that_talks_nonsense_is_no_clip(
    make_clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    def odd(*arguments: object) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", f"import sys; sys.stdout.buffer.write({answer!r})"]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)

    monkeypatch.setattr(reader, "_start", odd)
    assert code(make_clip(tmp_path / "a.mp4")) == "clip.stopped"


def test_pipes_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    assert code(tmp_path / "pipe.mp4") == "image.not-a-file"


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile {target}\n",
        "{target}\n",
        "<?xml version='1.0'?><MPD><BaseURL>file://{target}</BaseURL></MPD>",
        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nm=video 9 RTP/AVP 96\r\n",
    ],
)
def test_playlists_are_no_clips_whatever_they_are_called(make_clip, tmp_path: Path, text: str) -> None:
    target = make_clip(tmp_path / "target.mp4")
    path = tmp_path / "list.mp4"
    path.write_text(text.replace("{target}", str(target)))
    assert code(path) == "clip.unsupported"


@pytest.mark.parametrize("demuxer", ["hls", "concat", "dash"])
def test_even_a_demuxer_of_playlists_could_open_nothing(make_clip, tmp_path: Path, demuxer: str) -> None:
    target = make_clip(tmp_path / "target.mp4")
    lists = {
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile://{target}\n#EXT-X-ENDLIST\n",
        "concat": f"ffconcat version 1.0\nfile {target}\n",
        "dash": f"<?xml version='1.0'?><MPD><Period><BaseURL>file://{target}</BaseURL></Period></MPD>",
    }
    got: list[str] = []

    def emit(message: dict[str, object], parts: list[bytes]) -> None:
        got.append(str(message["kind"]))

    with pytest.raises(ClipError):
        decoding.decode(io.BytesIO(lists[demuxer].encode()), demuxer, Sampling(), DEFAULT_CLIP_LIMITS, emit)
    assert "frame" not in got


def test_media_outside_of_the_file_are_refused(make_clip, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mov")
    data = path.read_bytes()
    at = data.index(b"dref") + 4 + 8 + 8  # flags of the first entry
    assert data[at + 3] & 1
    path.write_bytes(data[: at + 3] + b"\0" + data[at + 4 :])
    assert code(path) == "clip.references"


def test_without_pyav_the_extra_is_named(make_clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_clip(tmp_path / "a.mp4")
    monkeypatch.setattr(reader.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"countermark\[video\]"):
        seen(path)
