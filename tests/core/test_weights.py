"""The weights loader: cards, digests, and formats that can run code."""

from __future__ import annotations

import json

import pytest
import torch

from countermark.core.errors import WeightsError
from countermark.core.weights import (
    WeightsCard,
    load_weights,
    read_card,
    save_weights,
    shipped_cards,
    stamp_card,
    write_card,
)

CARD = WeightsCard(name="tiny.v1", kind="generator", family="dcgan", config={"size": 32})


def saved(folder) -> object:
    return save_weights(folder, {"w": torch.arange(6.0).reshape(2, 3)}, CARD)


def test_weights_and_card_come_back(tmp_path) -> None:
    path = saved(tmp_path)
    tensors, card = load_weights(path, family="dcgan")
    assert torch.equal(tensors["w"], torch.arange(6.0).reshape(2, 3))
    assert card.name == "tiny.v1" and len(card.sha256) == 64 and read_card(path) == card
    assert list(shipped_cards(tmp_path)) == ["tiny.v1"]


def test_a_changed_byte_is_noticed(tmp_path) -> None:
    path = saved(tmp_path)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(WeightsError) as caught:
        load_weights(path)
    assert caught.value.code == "weights.checksum"


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".pkl", ".ckpt"])
def test_formats_that_can_run_code_are_never_opened(tmp_path, suffix: str) -> None:
    path = tmp_path / f"model{suffix}"
    path.write_bytes(b"\x80\x04.")
    with pytest.raises(WeightsError) as caught:
        load_weights(path)
    assert caught.value.code == "weights.unsafe-format"


def test_missing_cardless_foreign_and_damaged(tmp_path) -> None:
    with pytest.raises(WeightsError) as caught:
        load_weights(tmp_path / "none.safetensors")
    assert caught.value.code == "weights.missing"
    path = saved(tmp_path)
    with pytest.raises(WeightsError) as caught:
        load_weights(path, family="r3gan")
    assert caught.value.code == "weights.family"
    card = tmp_path / "tiny.v1.card.json"
    text = card.read_text()
    card.write_text(json.dumps({**json.loads(text), "surprise": 1}))
    with pytest.raises(WeightsError) as caught:
        load_weights(path)
    assert caught.value.code == "weights.bad-card"
    card.unlink()
    with pytest.raises(WeightsError) as caught:
        load_weights(path)
    assert caught.value.code == "weights.no-card"


def test_bytes_that_are_no_safetensors(tmp_path) -> None:
    from countermark.core.files import sha256_bytes

    path = tmp_path / "tiny.v1.safetensors"
    path.write_bytes(b"\xff" * 64)
    write_card(tmp_path, CARD.model_copy(update={"sha256": sha256_bytes(b"\xff" * 64)}))
    with pytest.raises(WeightsError) as caught:
        load_weights(path)
    assert caught.value.code == "weights.invalid"


def changed(path, edit) -> None:
    """The card with other values, as somebody writes them by hand."""
    values = json.loads(path.read_text())
    edit(values)
    path.write_text(json.dumps(values, indent=4))


@pytest.mark.parametrize(
    "edit",
    [
        lambda values: values["config"].update(size=33),
        lambda values: values.update(config={"size": 32.0000001}),
        lambda values: values["metrics"].update(auroc=0.99),
        lambda values: values.update(limits=[]),
        lambda values: values.pop("digest"),
        lambda values: values.update(digest="0" * 64),
    ],
    ids=["config", "a little", "metrics", "limits", "no digest", "another digest"],
)
def test_a_card_that_was_changed_is_refused(tmp_path, edit) -> None:
    path = save_weights(
        tmp_path, {"w": torch.zeros(1)}, CARD.model_copy(update={"limits": ["Small pictures only."]})
    )
    card = tmp_path / "tiny.v1.card.json"
    changed(card, edit)
    for load in (load_weights, read_card):
        with pytest.raises(WeightsError, match="models stamp") as caught:
            load(path)
        assert caught.value.code == "weights.card-changed"


def test_a_card_is_stamped_on_purpose_and_keeps_its_order(tmp_path) -> None:
    path = saved(tmp_path)
    card = tmp_path / "tiny.v1.card.json"
    before, digest = list(json.loads(card.read_text())), read_card(path).digest
    assert stamp_card(path) == (card, False)
    changed(card, lambda values: values["config"].update(size=33))
    assert stamp_card(card) == (card, True)
    again = read_card(path)
    assert again.config == {"size": 33} and again.digest != digest
    assert list(json.loads(card.read_text())) == before
    changed(card, lambda values: values.pop("digest"))
    stamp_card(card)
    assert list(json.loads(card.read_text())) == before


def test_spacing_and_order_do_not_matter(tmp_path) -> None:
    path = saved(tmp_path)
    card = tmp_path / "tiny.v1.card.json"
    values = json.loads(card.read_text())
    card.write_text(json.dumps(dict(reversed(values.items())), separators=(",", ":")))
    assert read_card(path).digest == values["digest"]


def test_every_shipped_card_is_as_it_was_written() -> None:
    from countermark.detectors.library import WEIGHTS as DETECTORS
    from countermark.generators.library import WEIGHTS as GENERATORS

    for folder in (DETECTORS, GENERATORS, DETECTORS.parent / "towers"):
        for path in folder.glob("*.card.json"):
            assert len(read_card(path).digest) == 64, path
