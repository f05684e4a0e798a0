"""Signing and verifying clips: marked or untouched, never overwritten, found again when stripped."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from countermark.app.clips.scan import ClipSettings
from countermark.app.recording import record_again
from countermark.app.scan.run import scan, scan_stream
from countermark.app.sign import sign
from countermark.app.verify import verify
from countermark.core.errors import ConfigError, OutputError, ProvenanceError
from countermark.core.results import VerificationState
from countermark.core.video.reader import open_clip
from countermark.core.video.sampling import Sampling
from countermark.core.weights import WeightsCard
from countermark.provenance.repository import open_repository

av = pytest.importorskip("av")


@pytest.fixture
def repository(tmp_path: Path):
    with open_repository(f"sqlite:///{tmp_path / 'records.db'}") as place:
        yield place


def reencoded(path: Path, target: Path, make_clip) -> Path:
    with open_clip(path, Sampling(whole=True)) as clip:
        return make_clip(target, [frame.pixels for frame in clip], crf="28")


def test_a_clip_is_marked_signed_and_found_again(make_clip, tmp_path: Path, repository) -> None:
    source = make_clip(tmp_path / "a.mp4", count=12, sound=True, texts={"title": "a walk"})
    before, notes = source.read_bytes(), []
    signed = sign(
        source, tmp_path / "b.mp4", generator="maker/1", repository=repository, on_note=notes.append
    )
    assert source.read_bytes() == before and signed.recorded and len(signed.payload) == 16
    assert 38 < signed.psnr < 50 and any("sound was copied" in note for note in notes)
    found = verify(tmp_path / "b.mp4", repository=repository)
    assert found.state is VerificationState.TRUSTED
    with av.open(str(tmp_path / "b.mp4")) as clip:
        assert clip.metadata["title"] == "a walk" and len(clip.streams.audio) == 1

    stripped = reencoded(tmp_path / "b.mp4", tmp_path / "c.mp4", make_clip)
    found = verify(stripped, repository=repository)
    assert found.state is VerificationState.RECOVERED and found.mark.payload == signed.payload
    assert found.chain[0].label == signed.manifest_id
    assert verify(stripped, repository=repository, recover=False).state is VerificationState.ABSENT


class Still:
    """A detector that finds nothing anywhere."""

    name = "still"
    card = WeightsCard(name="still", kind="detector", family="test")

    def score(self, images):
        return np.full(len(images), 0.1)

    def thresholds(self, max_fpr: float = 0.01):
        return SimpleNamespace(likely=0.8, unsure=0.5, note="")


@pytest.mark.parametrize("marked", [True, False], ids=["by its mark", "by its looks"])
def test_a_scan_finds_the_record_of_a_stripped_clip(
    make_clip, tmp_path: Path, repository, marked: bool
) -> None:
    source = make_clip(tmp_path / "a.mp4", count=8)
    signed = sign(source, tmp_path / "b.mp4", generator="m/1", repository=repository, watermark=marked)
    stripped = reencoded(tmp_path / "b.mp4", tmp_path / "c.mp4", make_clip)

    def recovered(path: Path, **options) -> list[str]:
        settings = ClipSettings(sampling=Sampling(3, scenes=0.0), faces=False)
        (result,) = scan_stream([path], clips=settings, detector=Still(), mark_seconds=0, **options)
        return [each.detail["manifest"] for each in result.evidence if each.kind == "recovery"]

    assert recovered(stripped, repository=repository) == [signed.manifest_id]
    if marked:
        assert not recovered(stripped, repository=repository, recover=False)
        assert not recovered(tmp_path / "b.mp4", repository=repository), "its own credential holds"


def test_a_clip_that_was_signed_without_a_record_gets_one_later(
    make_clip, tmp_path: Path, repository
) -> None:
    source = make_clip(tmp_path / "a.mp4", count=8)
    signed = sign(source, tmp_path / "b.mp4", generator="m/1", record=False)
    assert not signed.recorded and record_again(tmp_path / "b.mp4", {}, repository=repository)
    assert not record_again(tmp_path / "b.mp4", {}, repository=repository), "once"
    stripped = reencoded(tmp_path / "b.mp4", tmp_path / "c.mp4", make_clip)
    found = verify(stripped, repository=repository)
    assert found.state is VerificationState.RECOVERED and found.chain[0].label == signed.manifest_id
    with pytest.raises(ProvenanceError):
        record_again(source, {}, repository=repository)


def test_without_a_mark_not_a_byte_of_the_streams_changes(make_clip, tmp_path: Path, repository) -> None:
    source = make_clip(tmp_path / "a.mp4", count=4, sound=True)
    signed = sign(source, tmp_path / "b.mp4", watermark=False, repository=repository)
    assert signed.payload is None and signed.recorded
    packets = []
    for path in (source, tmp_path / "b.mp4"):
        with av.open(str(path)) as clip:
            packets.append([bytes(p) for p in clip.demux() if p.size])
    assert packets[0] == packets[1]
    assert verify(tmp_path / "b.mp4").state is VerificationState.TRUSTED


def test_a_label_is_written_and_read(make_clip, tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mov", count=4)
    sign(source, tmp_path / "b.mov", generator="maker/1", label=True, record=False, watermark=False)
    (result,) = scan(tmp_path / "b.mov", marks=False, detector="gan")
    assert any("45438" in e.sentence for e in result.evidence)
    assert verify(tmp_path / "b.mov").state is VerificationState.TRUSTED


def test_webm_becomes_mp4_or_gets_a_sidecar(make_clip, tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.webm", count=4, codec="libvpx-vp9")
    sign(source, tmp_path / "b.mp4", generator="maker/1", record=False)
    assert verify(tmp_path / "b.mp4").state is VerificationState.TRUSTED
    with pytest.raises(ProvenanceError) as caught:
        sign(source, tmp_path / "c.webm", record=False)
    assert caught.value.code == "credential.format" and not (tmp_path / "c.webm").exists()
    sign(source, tmp_path / "d.webm", generator="maker/1", record=False, sidecar=True)
    assert verify(tmp_path / "d.webm").state is VerificationState.TRUSTED


def test_what_would_be_lost_is_not_paid_unasked(make_clip, tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mov", count=3, codec="prores_ks", pixels="yuv422p10le")
    signed = sign(source, tmp_path / "b.mov", generator="maker/1", record=False)
    assert signed.payload is None and any("8 of 10 bits" in note for note in signed.notes)
    signed = sign(source, tmp_path / "c.mov", generator="maker/1", record=False, allow_loss=True)
    assert signed.payload and any("Lost" in note for note in signed.notes)


def test_refusals_come_before_the_work(make_clip, tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", count=3)
    (tmp_path / "there.mp4").write_bytes(b"kept")
    for target, code in (("there.mp4", "output.exists"), ("b.png", "output.format")):
        with pytest.raises(OutputError) as caught:
            sign(source, tmp_path / target, record=False)
        assert caught.value.code == code
    assert (tmp_path / "there.mp4").read_bytes() == b"kept"
    with pytest.raises(OutputError) as caught:
        sign(source, tmp_path / "b.mov", record=False, watermark=False)
    assert caught.value.code == "output.format"
    with pytest.raises(ConfigError):
        sign(source, tmp_path / "b.mp4", crf=99)
    assert sorted(p.name for p in tmp_path.glob("*.m*")) == ["a.mp4", "there.mp4"]


def test_an_earlier_credential_stays_in_the_history(make_clip, tmp_path: Path) -> None:
    source = make_clip(tmp_path / "a.mp4", count=4)
    sign(source, tmp_path / "b.mp4", generator="maker/1", record=False)
    again = sign(tmp_path / "b.mp4", tmp_path / "c.mp4", record=False)
    assert again.payload is None and any("Not marked" in note for note in again.notes)
    found = verify(tmp_path / "c.mp4")
    assert found.state is VerificationState.TRUSTED and len(found.chain) == 2
