"""Parts of the page: catalogues, archives, thresholds and maps."""

from __future__ import annotations

import io
import re
import struct
import zipfile

import numpy as np
import page_messages
import pytest

from countermark.app.service.page import catalogues
from countermark.app.service.page.desk import signed_name
from countermark.app.service.page.examine import chances, overlay
from countermark.app.service.page.unpack import MAX_ENTRIES, pictures_in
from countermark.core.errors import ImageError
from countermark.core.images import encode_image
from countermark.detectors.scoring.points import working_points

PICTURE = encode_image(np.full((16, 16, 3), 77, np.uint8), "png")


def zipped(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


# --- catalogues ----------------------------------------------------------------------------------


@pytest.mark.parametrize("language", catalogues.languages()[1:])
def test_catalogues_are_complete_and_fit(language: str) -> None:
    missing, idle = page_messages.compare(language)
    assert not missing and not idle
    held = catalogues.translations(language)
    for message in page_messages.messages():
        if isinstance(message, str):
            pairs = [(message, held.gettext(message))]
        else:
            pairs = [(message[n > 1], held.ngettext(*message, n)) for n in (1, 2)]
        for given, translated in pairs:
            places = re.findall(r"%\(\w+\)s", given)
            assert sorted(places) == sorted(re.findall(r"%\(\w+\)s", translated)), translated
            assert "<" not in translated


def test_catalogues_are_read_as_gettext_reads_them() -> None:
    text = (
        'msgid ""\nmsgstr ""\n"Plural-Forms: nplurals=2; plural=(n != 1);\\n"\n\n#: a.py\nmsgid "one\\n"\n'
        '"line"\nmsgstr "eine \\"Zeile\\""\n\nmsgid "%d cat"\nmsgid_plural "%d cats"\nmsgstr[0] "%d Katze"\n'
        'msgstr[1] "%d Katzen"\n\n#, fuzzy\nmsgid "doubt"\nmsgstr "Zweifel"\n\nmsgid "none"\nmsgstr ""\n'
    )
    import gettext

    made = gettext.GNUTranslations(io.BytesIO(catalogues.compiled(catalogues.parse(text))))  # type: ignore[arg-type]
    assert made.gettext("one\nline") == 'eine "Zeile"'
    assert [made.ngettext("%d cat", "%d cats", n) for n in (0, 1, 2)] == [
        "%d Katzen",
        "%d Katze",
        "%d Katzen",
    ]
    assert made.gettext("doubt") == "doubt" and made.gettext("none") == "none"
    with pytest.raises(ValueError, match="line 2"):
        catalogues.parse('msgid "a"\nnonsense\n')


@pytest.mark.parametrize(
    "header, language",
    [("de", "de"), ("fr,de;q=0.1", "de"), ("de;q=0", "en"), ("", "en"), ("en,de", "en"), ("de;q=x", "en")],
)
def test_the_browser_s_wish(header: str, language: str) -> None:
    assert catalogues.negotiate(header) == language


# --- archives ------------------------------------------------------------------------------------


def test_only_pictures_come_out_of_a_zip() -> None:
    found = pictures_in(zipped({"a.png": PICTURE, "b.txt": b"text", ".hidden": PICTURE, "c/d.bin": PICTURE}))
    assert found is not None
    assert [name for name, _ in found.pictures] == ["a.png", "c/d.bin"]
    assert found.left_out == {"not a picture": 1}


def test_a_bomb_stays_folded() -> None:
    bomb = PICTURE[:8] + bytes(3_000_000)
    found = pictures_in(zipped({"bomb.png": bomb, "a.png": PICTURE}), max_bytes=1_000_000)
    assert found is not None and found.left_out == {"too large": 1}
    many = {f"{n}.png": PICTURE[:8] + bytes(400_000) for n in range(8)}
    found = pictures_in(zipped(many), max_bytes=1_000_000, total_bytes=1_000_000)
    assert found is not None and len(found.pictures) == 2 and found.left_out == {"too large": 6}


def test_a_long_table_of_contents_is_not_read() -> None:
    data = zipped({f"{n}": b"" for n in range(MAX_ENTRIES + 1)})
    with pytest.raises(ImageError) as caught:
        pictures_in(data)
    assert caught.value.code == "archive.too-large"
    short = bytearray(zipped({"a.png": PICTURE}))
    at = short.rfind(b"PK\x05\x06")
    short[at + 12 : at + 16] = struct.pack("<I", 10**9)
    with pytest.raises(ImageError):
        pictures_in(bytes(short))


def test_damage_is_a_reason() -> None:
    data = zipped({"a.png": PICTURE * 50, "b.png": PICTURE})
    at = data.index(b"a.png") + 20
    found = pictures_in(data[:at] + bytes(8) + data[at + 8 :])
    assert found is not None and [name for name, _ in found.pictures] == ["b.png"]
    assert sum(found.left_out.values()) == 1
    encrypted = bytearray(zipped({"a.png": PICTURE}))
    encrypted[6] |= 1
    encrypted[encrypted.rfind(b"PK\x01\x02") + 8] |= 1
    found = pictures_in(bytes(encrypted))
    assert found is not None and not found.pictures and sum(found.left_out.values()) == 1
    for cut in (5, 40, len(data) - 10):
        with pytest.raises(ImageError):
            pictures_in(data[:cut])


# --- figures -------------------------------------------------------------------------------------


def test_chances_depend_on_what_one_receives() -> None:
    assert [prior for prior, _ in chances(0.5)] == [0.01, 0.1, 0.5]
    assert [round(chance, 4) for _, chance in chances(0.5)] == [0.01, 0.1, 0.5]
    assert all(0 <= chance <= 1 for score in (0.0, 1e-4, 1.0) for _, chance in chances(score))


def test_working_points_are_the_detector_s(paper: object) -> None:
    points = working_points(paper)
    assert [(p.name, round(p.likely, 3)) for p in points] == [
        ("strict", 0.899), ("default", 0.89), ("review", 0.85),
    ]  # fmt: skip
    assert [points[1].verdict(score) for score in (0.95, 0.5, 0.1)] == [
        "likely-synthetic", "unsure", "no-evidence",
    ]  # fmt: skip


def test_the_map_is_clear_where_nothing_was_found() -> None:
    import cv2

    heat = np.zeros((60, 80), np.float32)
    heat[20:40, 30:50] = 1
    drawn = cv2.imdecode(np.frombuffer(overlay(heat), np.uint8), cv2.IMREAD_UNCHANGED)
    assert drawn.shape == (60, 80, 4)
    assert drawn[0, 0, 3] == 0 and drawn[30, 40, 3] == 255
    assert cv2.imdecode(np.frombuffer(overlay(np.ones((3000, 1500))), np.uint8), -1).shape[:2] == (512, 256)


def test_a_map_of_high_scores_leaves_half_of_the_picture_clear() -> None:
    import cv2

    heat = np.linspace(0.8, 0.95, 4000, dtype=np.float32).reshape(40, 100)
    alpha = cv2.imdecode(np.frombuffer(overlay(heat), np.uint8), cv2.IMREAD_UNCHANGED)[..., 3]
    assert 0.4 < (alpha == 0).mean() < 0.6 and alpha[-1, -1] == alpha.max() > 150


@pytest.mark.parametrize("level", [0.0, 0.2, 0.6, 0.98])
def test_a_picture_without_a_place_that_stands_out_has_no_map(level: float) -> None:
    assert overlay(np.full((30, 40), level, np.float32)) is None


@pytest.mark.parametrize(
    "name, expected",
    [
        ("a b.png", "a-b"),
        ("../../etc/passwd", "passwd"),
        ('x"; evil=1.jpg', "x-evil-1"),
        ("ä.png", "picture"),
    ],
)
def test_signed_names_are_plain(name: str, expected: str) -> None:
    assert signed_name(name, PICTURE) == f"{expected}-signed.png"
