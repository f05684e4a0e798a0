"""The page without a browser: what it answers, whom it lets in, what it keeps and for how long."""

from __future__ import annotations

import io
import json
import re
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from countermark.app.service import Settings, create_app, create_token
from countermark.app.service.page import desk as desks
from countermark.app.service.page.access import is_local, own_path
from countermark.core.files import HOME_VARIABLE
from countermark.core.images import encode_image, read_image
from countermark.reports.documents import load_schema

Draw = Callable[..., np.ndarray]
Make = Callable[..., TestClient]
HERE = "http://127.0.0.1:8722"
HTML = {"Accept": "text/html"}


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, paper: Any) -> Iterator[Make]:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    opened = []

    def build(base_url: str = HERE, peer: str = "127.0.0.1", **settings: Any) -> TestClient:
        values = {"repository": f"sqlite:///{tmp_path / 'm.db'}", "tokens": tmp_path / "tokens.json"}
        values |= {"rate": 1e6, "burst": 10**6, "warm": False}
        app = create_app(Settings(**(values | settings)))
        app.state.context._detector = paper
        client = TestClient(app, base_url=base_url, client=(peer, 50000), follow_redirects=False)
        opened.append(client.__enter__())
        return opened[-1]

    yield build
    for client in opened:
        client.__exit__(None, None, None)


def png(pixels: np.ndarray) -> bytes:
    return encode_image(pixels, "png")


def hand_in(client: TestClient, data: bytes, name: str = "photo.png", **params: str) -> dict[str, Any]:
    answer = client.post("/look", params={"name": name, **params}, content=data)
    assert answer.status_code == 200, answer.text
    return answer.json()


def settle(client: TestClient, name: str) -> str:
    """Waits until an entry is done; gives its last state."""
    for _ in range(6000):  # a busy machine is slow, not wrong
        state = client.get(f"/r/{name}/state").json()["state"]
        if state in ("done", "failed"):
            return state
        time.sleep(0.05)
    raise AssertionError(f"{name} is still {state}")


def look(client: TestClient, data: bytes, name: str = "photo.png") -> tuple[str, str]:
    """Hands a picture in; the entry's name and the page that shows its result."""
    entry = hand_in(client, data, name)["entries"][0]
    settle(client, entry)
    return entry, client.get(f"/r/{entry}", headers=HTML).text


@pytest.mark.parametrize(
    "mean, verdict, sentence",
    [
        (60, "no-evidence", "We found no sign that a generator made this picture."),
        (160, "unsure", "We cannot tell"),
        (245, "likely-synthetic", "looks as if a generator made it"),
    ],
)
def test_every_verdict_has_its_sentence_and_next_steps(
    make: Make, drawing: Draw, mean: int, verdict: str, sentence: str
) -> None:
    client = make()
    entry, text = look(client, png(drawing(mean=mean)))
    assert f'class="verdict {verdict}"' in text and sentence in text
    assert "What to do next" in text and text.count("<li>") > 2
    shown = read_image(client.get(f"/r/{entry}/map").content)
    assert shown.format == "png"
    assert client.get(f"/r/{entry}/view").headers["content-type"] == "image/jpeg"
    assert "Three working points" in text and "As received" in text and "SHA-256" in text


def test_the_answer_is_there_before_the_map(make: Make, drawing: Draw, monkeypatch: Any) -> None:
    client = make()
    gate: list[bool] = []

    def slow(context: Any, look: Any) -> None:
        while not gate:
            time.sleep(0.01)

    monkeypatch.setattr(desks, "draw_map", slow)
    entry = hand_in(client, png(drawing()))["entries"][0]
    while client.get(f"/r/{entry}/state").json()["state"] != "ready":
        time.sleep(0.02)
    text = client.get(f"/r/{entry}", headers=HTML).text
    assert 'class="verdict' in text and "is being drawn" in text and 'data-state="ready"' in text
    gate.append(True)
    assert settle(client, entry) == "done"


def test_a_form_without_scripts_takes_several(make: Make, drawing: Draw) -> None:
    client = make()
    files = [("file", (f"{n}.png", png(drawing(n)), "image/png")) for n in range(3)]
    answer = client.post("/look", files=files, data={"batch": "x" * 24, "point": "review"})
    assert answer.status_code == 303 and answer.headers["location"] == "/b/" + "x" * 24
    text = client.get(answer.headers["location"], headers=HTML).text
    names = re.findall(r'href="/r/([^"/]+)"', text)
    assert len(names) == 3 and "3 pictures" in text
    for name in names:
        settle(client, name)
    assert "All are done." in client.get(answer.headers["location"], headers=HTML).text
    assert client.app.state.desk.find(names[0]).max_fpr == 0.05
    one = client.post("/look", files=files[:1])
    assert one.headers["location"].startswith("/r/")
    beside = client.post("/look", files=files[:1], data={"with": names[0]})
    assert beside.headers["location"].startswith(f"/compare?left={names[0]}&right=")
    assert client.post("/look", data={"batch": "y" * 24}).status_code == 400


def test_pictures_are_listed_as_they_were_chosen_whenever_they_arrive(make: Make, drawing: Draw) -> None:
    client = make()
    for place in (2, 0, 1):
        hand_in(client, png(drawing(place)), f"chosen-{place}.png", batch="p" * 24, place=str(place))
    found = client.app.state.desk.batch("p" * 24)
    assert [entry.name for entry in found] == ["chosen-0.png", "chosen-1.png", "chosen-2.png"]
    refused = client.post("/look", params={"name": "a.png", "place": "-1"}, content=png(drawing()))
    assert refused.status_code == 400
    for entry in found:
        settle(client, entry.id)


def test_a_zip_gives_its_pictures_and_counts_the_rest(make: Make, drawing: Draw) -> None:
    client = make()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a/one.png", png(drawing(1)))
        archive.writestr("two.png", png(drawing(2)))
        archive.writestr("notes.txt", "no picture")
        archive.writestr("__MACOSX/._two.png", b"junk")
    answer = hand_in(client, stream.getvalue(), "several.zip", batch="z" * 24)
    assert len(answer["entries"]) == 2 and answer["page"] == "/b/" + "z" * 24
    for name in answer["entries"]:
        settle(client, name)
    text = client.get(answer["page"], headers=HTML).text
    assert "a/one.png" in text and '1 × <span lang="en">not a picture</span>' in text
    empty = io.BytesIO()
    zipfile.ZipFile(empty, "w").close()
    (entry,) = hand_in(client, empty.getvalue(), "empty.zip")["entries"]
    assert "not a picture that we can read" in client.get(f"/r/{entry}", headers=HTML).text


@pytest.mark.parametrize(
    "data, sentence, code",
    [
        (b"hello", "not a picture that we can read", "image.unsupported"),
        (b"\x89PNG\r\n\x1a\nbroken", "This file is damaged", "image."),
        (b"\xff\xd8\xff" + bytes(2000), "too large to be looked at", "image.too-large"),
        (b"PK\x03\x04 and no more", "This file is damaged", "archive.unreadable"),
    ],
)
def test_what_cannot_be_looked_at_says_why(make: Make, data: bytes, sentence: str, code: str) -> None:
    client = make(max_bytes=1500)
    (entry,) = hand_in(client, data, "odd.bin")["entries"]
    assert settle(client, entry) == "failed"
    text = client.get(f"/r/{entry}", headers=HTML).text
    assert sentence in text and code in text and "odd.bin" in text and "/proc/" not in text


def test_names_and_metadata_of_files_are_shown_and_nothing_more(make: Make, drawing: Draw) -> None:
    client = make()
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "<img src=x onerror=alert(1)>"
    Image.fromarray(drawing()).save(stream, "JPEG", exif=exif)
    entry, text = look(client, stream.getvalue(), "<script>alert(1)</script>\u202egnp.exe")
    assert "<script>alert" not in text and "&lt;script&gt;" in text and "\\u202e" in text
    assert "<img src=x" not in text and "ImageDescription" in text
    saved = client.get(f"/r/{entry}/result.html").text
    assert "<script" not in saved


def test_results_can_be_taken_along(make: Make, drawing: Draw) -> None:
    client = make()
    entry, _ = look(client, png(drawing(mean=245)))
    answer = client.get(f"/r/{entry}/result.json")
    documents = answer.json()
    jsonschema.validate(documents["scan"], load_schema("scan"))
    jsonschema.validate(documents["verify"], load_schema("verify"))
    assert documents["scan"]["results"][0]["path"] == "photo.png"
    saved = client.get(f"/r/{entry}/result.html").text
    assert "Content-Security-Policy" in saved and "default-src &#39;none&#39;" in saved
    assert "<script" not in saved and "/static/" not in saved and saved.count("data:image/") == 2
    assert not re.findall(r"""(?:src|href|action)=["'](?!data:|#)""", saved)


def test_what_is_signed_here_is_known_here(make: Make, drawing: Draw) -> None:
    client = make()
    assert 'name="source_type"' in client.get("/sign", headers=HTML).text
    form = {
        "generator": "my-model/1",
        "source_type": "trainedAlgorithmicMedia",
        "watermark": "on",
        "record": "on",
    }
    picture = png(drawing(5, 384, 512))
    answer = client.post("/sign", files={"file": ("made one.png", picture, "image/png")}, data=form)
    assert answer.status_code == 303, answer.text
    name = answer.headers["location"].removeprefix("/s/")
    settle(client, name)
    text = client.get(f"/s/{name}", headers=HTML).text
    assert "The picture is signed." in text and "made-one-signed.png" in text
    file = client.get(f"/r/{name}/signed")
    assert 'filename="made-one-signed.png"' in file.headers["content-disposition"]
    again = client.post(f"/s/{name}/look")
    entry = again.headers["location"].removeprefix("/r/")
    settle(client, entry)
    shown = client.get(f"/r/{entry}", headers=HTML).text
    assert "Its signed history says so" in shown and "my-model" in shown
    assert f'/r/{entry}/history-0"' in shown, "the credential's thumbnail"
    assert read_image(client.get(f"/r/{entry}/history-0").content).width <= 256
    stripped, text = look(client, encode_image(read_image(file.content).pixels, "jpeg", quality=85))
    assert "the records here hold one" in text and f"/r/{stripped}/sketch" in text
    found = client.get("/records", headers=HTML).text
    (manifest,) = re.findall(r"urn:c2pa:[0-9a-f-]+", found)
    assert "1 record found." in client.get("/records", params={"q": manifest}, headers=HTML).text
    assert "0 records found." in client.get("/records", params={"q": "00" * 8}, headers=HTML).text
    assert "default" in client.get("/keys", headers=HTML).text


def test_signing_fails_in_a_sentence(make: Make, drawing: Draw) -> None:
    client = make()
    for data, form in ((b"text", {}), (png(drawing()), {"identity": "nobody"})):
        answer = client.post("/sign", files={"file": ("a.png", data)}, data=form)
        name = answer.headers["location"].removeprefix("/s/")
        assert settle(client, name) == "failed"
        assert "could not be signed" in client.get(f"/s/{name}", headers=HTML).text
    assert client.post("/sign", data={}).status_code == 400


def test_two_are_compared(make: Make, drawing: Draw) -> None:
    client = make()
    first, _ = look(client, png(drawing(1)), "first.png")
    second, _ = look(client, encode_image(drawing(1), "jpeg"), "second.jpg")
    text = client.get("/compare", params={"id": [first, second]}, headers=HTML).text
    assert "first.png" in text and "second.jpg" in text and "Same shape" in text
    same = client.get("/compare", params={"left": first, "right": first}, headers=HTML).text
    assert "byte for byte" in same
    assert client.get("/compare", params={"left": first, "right": "gone"}).status_code == 404


# --- what is kept --------------------------------------------------------------------------------


def test_nothing_is_kept_longer_than_said(make: Make, drawing: Draw) -> None:
    client = make(keep_seconds=0.5)
    (entry,) = hand_in(client, png(drawing()))["entries"]
    desk = client.app.state.desk
    for _ in range(6000):
        if not len(desk):
            break
        time.sleep(0.05)
    assert len(desk) == 0 and desk._batches == {}
    answer = client.get(f"/r/{entry}", headers=HTML)
    assert answer.status_code == 404 and "not any more" in answer.text


def test_it_is_forgotten_when_told(make: Make, drawing: Draw) -> None:
    client = make()
    entry, _ = look(client, png(drawing()))
    assert client.post(f"/r/{entry}/forget").headers["location"] == "/"
    assert client.get(f"/r/{entry}/view").status_code == 404
    assert len(client.app.state.desk) == 0


def test_the_oldest_make_room(make: Make, drawing: Draw) -> None:
    picture = png(drawing())
    client = make(keep_bytes=int(4.5 * len(picture)))
    entries = [look(client, picture, f"{n}.png")[0] for n in range(4)]
    assert client.get(f"/r/{entries[0]}/state").status_code == 404
    assert client.get(f"/r/{entries[-1]}/state").status_code == 200
    held = sum(entry.size for entry in client.app.state.desk._entries.values())
    assert held <= 5.5 * len(picture)
    answer = client.post("/look", content=b"x" * (5 * len(picture)))
    assert answer.status_code == 503 and answer.headers["retry-after"]


# --- who is let in -------------------------------------------------------------------------------

PAGES = ["/", "/sign", "/records", "/keys"]


@pytest.mark.parametrize("path", PAGES)
def test_at_this_machine_nobody_is_asked(make: Make, path: str) -> None:
    answer = make().get(path, headers=HTML)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["cache-control"] == "no-store"
    assert " style=" not in answer.text and "<script>" not in answer.text and " onclick" not in answer.text
    assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", answer.text)


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize(
    "how",
    [
        {"base_url": "http://evil.example:8722"},
        {"peer": "192.0.2.7"},
        {"page": "token"},
        {"headers": {"X-Forwarded-For": "198.51.100.1"}},
        {"headers": {"Via": "1.1 proxy"}},
    ],
)
def test_elsewhere_a_token_is_asked_for(make: Make, path: str, how: dict[str, Any]) -> None:
    how = dict(how)
    headers = how.pop("headers", {})
    client = make(**how)
    answer = client.get(path, headers=HTML | headers)
    assert answer.status_code == 303 and answer.headers["location"].startswith("/enter?next=")
    assert client.post("/look", content=b"x", headers=headers).status_code == 401


def test_a_proxy_that_says_nothing_is_known_by_its_http() -> None:
    from starlette.requests import Request

    scope = {"type": "http", "client": ("127.0.0.1", 1), "headers": [(b"host", b"127.0.0.1:8722")]}
    assert is_local(Request(scope | {"http_version": "1.1"}))
    assert is_local(Request(scope | {"http_version": "1.1", "headers": [(b"host", b"[::1]:8722")]}))
    assert not is_local(Request(scope | {"http_version": "1.0"}))
    assert not is_local(Request(scope | {"http_version": "1.1", "headers": []}))


def test_a_token_opens_a_session_and_its_scopes_bound_it(make: Make, tmp_path: Path, drawing: Draw) -> None:
    secret = create_token("desk", ["scan", "verify"], path=tmp_path / "tokens.json")
    client = make(base_url="http://marks.example", peer="192.0.2.7")
    wrong = client.post("/enter", data={"token": "cm_guess", "next": "/"})
    assert wrong.status_code == 401 and "not known here" in wrong.text and "set-cookie" not in wrong.headers
    answer = client.post("/enter", data={"token": secret, "next": "//evil.example/"})
    assert answer.status_code == 303 and answer.headers["location"] == "/"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and secret not in cookie
    entry, text = look(client, png(drawing()))
    assert "verdict" in text and "/sign?from=" not in text
    assert client.get("/sign", headers=HTML).status_code == 403
    assert client.get("/keys", headers=HTML).status_code == 403
    assert client.post("/leave").headers["location"] == "/enter"
    assert client.get(f"/r/{entry}/state").status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://127.0.0.1:9999"},
    ],
)
def test_other_sites_cannot_use_the_page(make: Make, headers: dict[str, str]) -> None:
    client = make()
    for path in ("/look", "/sign", "/enter", "/leave"):
        answer = client.post(path, content=b"x", headers=headers)
        assert answer.status_code == 403 and answer.json()["code"] == "request.origin", path
    own = {"Origin": HERE, "Sec-Fetch-Site": "same-origin"}
    assert client.post("/look", content=b"x", headers=own).status_code == 200


def test_there_can_be_no_page(make: Make) -> None:
    client = make(page="off")
    for path in (*PAGES, "/enter", "/static/page.css"):
        assert client.get(path, headers=HTML).status_code == 404
    assert client.get("/healthz").status_code == 200


def test_browsers_get_pages_and_machines_get_json(make: Make) -> None:
    client = make()
    page = client.get("/nowhere", headers=HTML)
    assert page.status_code == 404 and "There is no such page." in page.text
    assert client.get("/nowhere").json()["code"] == "request.unknown"
    assert client.get("/v1/manifests/urn:x", headers=HTML).json()["code"] == "token.missing"
    wrong = client.request("DELETE", "/look")
    assert wrong.status_code == 405 and wrong.headers["allow"] == "POST"
    for path in ("/static/../routes.py", "/static/base.html.j2"):
        assert client.get(path).status_code == 404
    style = client.get("/static/page.css")
    assert "immutable" in style.headers["cache-control"] and style.headers["content-type"].startswith(
        "text/css"
    )


@pytest.mark.parametrize("value", ["//evil", "/\\evil", "https://evil", "evil", "", "/a\r\nSet-Cookie: x"])
def test_only_own_paths_are_gone_on_to(value: str) -> None:
    assert own_path(value) == "/"
    assert own_path("/r/abc?x=1") == "/r/abc?x=1"


def test_a_foreign_language(make: Make, drawing: Draw) -> None:
    client = make()
    german = client.get("/", headers=HTML | {"Accept-Language": "de-CH,en;q=0.4"})
    assert '<html lang="de">' in german.text and "Woher kommt dieses Bild?" in german.text
    chosen = client.get("/language/de", params={"next": "/sign"})
    assert chosen.headers["location"] == "/sign"
    entry, text = look(client, png(drawing(mean=245)))
    assert "sieht aus, als hätte ein Generator es erzeugt" in text and 'lang="en"' in text
    assert json.loads(client.get(f"/r/{entry}/result.json").text)["scan"]["results"][0]["verdict"]
