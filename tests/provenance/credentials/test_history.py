"""The history tree: every link with its state, and nothing from a file reaches the terminal raw."""

from __future__ import annotations

import json

from countermark.core.results import ChainLink, Verification, VerificationState
from countermark.provenance.credentials.history import as_text, history_tree
from countermark.provenance.credentials.signing import Ingredient, sign_bytes
from countermark.provenance.credentials.verification import verify_image


def test_tree_of_a_composite(encoded, foreign):
    photo = sign_bytes(
        encoded("jpeg"), identity=foreign[0], title="photo.jpg", digital_source_type="digitalCapture"
    )
    made = sign_bytes(encoded("png"), title="made.png", generator="my-model/1")
    both = sign_bytes(
        made.data,
        title="both.png",
        name="made.png",
        parents=[
            Ingredient(photo.data, "componentOf", "photo.jpg"),
            Ingredient(encoded("webp"), "componentOf", "plain"),
        ],
    )
    root = history_tree(verify_image(both.data))
    assert [child.state for child in root.children] == ["trusted", "intact", "absent"]
    text = as_text(root)
    lines = text.splitlines()
    assert lines[0].startswith("✓ both.png · trusted")
    assert any(line.startswith("├─ ✓ made.png · trusted · parent") for line in lines)
    assert any("~ photo.jpg · intact · component" in line and "Foreign signer" in line for line in lines)
    assert "created (digitalCapture)" in text and "created (trainedAlgorithmicMedia) by my-model" in text
    assert "! The signer is not on the trust list" in text
    json.dumps(root.as_dict())


def test_no_credential_no_tree(encoded):
    assert history_tree(verify_image(encoded("png"))) is None
    assert as_text(None) == "no history"


def test_control_characters_do_not_reach_the_terminal():
    link = ChainLink("a", "\x1b[31mred\n", None, "\x07bell", None, None, None, "intact")
    deep = ChainLink("b", "t", None, None, None, None, "componentOf", "absent", depth=9)
    text = as_text(history_tree(Verification("", VerificationState.INTACT, chain=(link, deep))))
    assert text.replace("\n", "").isprintable()
