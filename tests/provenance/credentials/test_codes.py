"""Every code has a sentence; an unknown one keeps the library's words; one exception is told apart."""

from __future__ import annotations

import pytest

from countermark.provenance.credentials import codes


@pytest.mark.parametrize("code", sorted(codes.SENTENCES))
def test_sentences_are_sentences(code):
    text = codes.sentence(code)
    assert text[0].isupper() and text.endswith(".") and len(text) < 160
    assert code not in text


def test_unknown_codes_keep_the_explanation():
    assert codes.sentence("new.code", "it broke.") == "Validation reported new.code: it broke."
    assert codes.sentence("new.code") == "Validation reported new.code."


def test_hash_that_leaves_out_too_much_does_not_say_that_the_picture_was_changed():
    plain = codes.sentence("assertion.dataHash.mismatch", "Hashes do not match")
    other = codes.sentence(
        "assertion.dataHash.mismatch", "data hash exclusion does not match the manifest location in the asset"
    )
    assert "was changed after" in plain
    assert "leaves out more" in other
