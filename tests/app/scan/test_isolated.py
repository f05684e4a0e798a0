"""Files are read in processes that can be stopped: what hangs or kills one is an error, and no more."""

from __future__ import annotations

import os
import signal
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from countermark.app.scan import isolated
from countermark.app.scan.gather import gather
from countermark.app.scan.isolated import Readers
from countermark.app.scan.run import scan
from countermark.core.errors import ImageError
from countermark.core.images import Limits, encode_image
from countermark.core.seeds import rng

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs setrlimit as Linux has it")


@pytest.fixture
def good() -> bytes:
    return encode_image(rng(1, "isolated").integers(0, 256, (64, 80, 3)).astype(np.uint8), "png")


@pytest.fixture
def obeys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Readers do what the file says, as a codec with a fault would."""
    module = tmp_path / "faulty.py"
    module.write_text(
        textwrap.dedent("""
        import os, signal, time
        from countermark.app.scan import gather as real, worker
        gather = real.gather

        def faulty(path, *, data, **options):
            if data == b"loop":
                while True:
                    pass
            if data == b"sleep":
                time.sleep(600)
            if data == b"die":
                os.kill(os.getpid(), signal.SIGSEGV)
            if data == b"lots":
                bytearray(8 << 30)
            if data == b"print":
                os.write(1, b"noise on standard output")
            if data == b"killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if data == b"killed once" and not os.path.exists(path + ".seen"):
                open(path + ".seen", "w").close()
                os.kill(os.getpid(), signal.SIGKILL)
            if data.startswith(b"say"):
                raise ValueError("unexpected")
            return gather(path, data=data, **options)

        real.gather = faulty
        worker.main()
        """)
    )
    boot = f"import sys, json, runpy; sys.path[:] = json.loads(sys.argv[1]); runpy.run_path({str(module)!r})"
    monkeypatch.setattr(isolated, "_BOOT", boot)


def test_a_picture_is_read_as_in_this_process(good: bytes) -> None:
    with Readers(1, marks=False) as readers:
        found = readers.gather("a.png", good)
    here = gather("a.png", data=good, marks=False)
    assert np.array_equal(found.image.pixels, here.image.pixels)
    assert (found.evidence, found.verification) == (here.evidence, here.verification)
    assert (found.image.sha256, found.image.format, found.image.data) == (here.image.sha256, "png", good)


def test_limits_and_errors_cross(good: bytes) -> None:
    with Readers(1, marks=False, limits=Limits(max_pixels=10)) as readers:
        for data, code in ((good, "image.too-many-pixels"), (b"text", "image.unsupported")):
            with pytest.raises(ImageError) as caught:
                readers.gather("a.png", data)
            assert caught.value.code == code


@LINUX
def test_what_hangs_or_dies_is_an_error_and_the_next_file_is_read(good: bytes, obeys: None) -> None:
    with Readers(1, seconds=1, memory=1 << 30, marks=False) as readers:
        for data, code in (
            (b"loop", "image.too-slow"),
            (b"die", "image.reader-died"),
            (b"lots", "image.too-much-memory"),
            (b"say", "image.unreadable"),
        ):
            with pytest.raises(ImageError) as caught:
                readers.gather("bad.png", data)
            assert caught.value.code == code, data
            assert "bad.png" in caught.value.message
        assert readers.gather("a.png", good).image.width == 80


@LINUX
def test_a_reader_that_was_killed_costs_its_file_one_retry(obeys: None, tmp_path: Path) -> None:
    """The second reader gets as far as the gate; one that is killed again is a row."""
    path = tmp_path / "a.png"
    with Readers(1, marks=False) as readers:
        for data, code in ((b"killed once", "image.unsupported"), (b"killed", "image.reader-died")):
            with pytest.raises(ImageError) as caught:
                readers.gather(str(path), data)
            assert caught.value.code == code
    assert path.with_name("a.png.seen").exists()


@LINUX
def test_one_that_waits_for_ever_is_ended(good: bytes, obeys: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated, "_PATIENCE", 0.0)
    monkeypatch.setattr(isolated, "_MORE", 2.0)
    with Readers(1, seconds=1, marks=False) as readers:
        with pytest.raises(ImageError) as caught:
            readers.gather("bad.png", b"sleep")
        assert caught.value.code == "image.too-slow"


@LINUX
def test_processes_are_replaced(good: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated, "RECYCLED", 1)
    numbers = []
    start = isolated._Process.__init__

    def noted(self: isolated._Process, settings: dict[str, object]) -> None:
        start(self, settings)
        numbers.append(self._process.pid)

    monkeypatch.setattr(isolated._Process, "__init__", noted)
    with Readers(1, marks=False) as readers:
        for _ in range(2):
            readers.gather("a.png", good)
    assert len(set(numbers)) == 2
    for number in numbers:
        with pytest.raises(ProcessLookupError):
            os.kill(number, signal.SIGCONT)


@LINUX
def test_ctrl_c_is_for_the_scan_alone(good: bytes) -> None:
    with Readers(1, marks=False) as readers:
        readers.gather("a.png", good)
        process = readers._idle.get()
        assert process is not None
        process._process.send_signal(signal.SIGINT)
        readers._idle.put(process)
        assert readers.gather("b.png", good).image.width == 80
        assert process.files == 2


@LINUX
def test_a_scan_has_a_row_for_each(good: bytes, obeys: None, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, data in (("a", good), ("b", b"die"), ("c", good), ("d", b"loop")):
        (folder / f"{name}.png").write_bytes(data)
    found = scan(folder, detector="lite", marks=False, file_seconds=1)
    codes = [None if each.error is None else each.error.code for each in found]
    assert codes == [None, "image.reader-died", None, "image.too-slow"]
    assert found[0].score is not None
