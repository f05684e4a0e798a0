"""The ten pitfalls of C2PA libraries, each shown to exist or to be guarded against."""

from __future__ import annotations

import io
import multiprocessing
import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import c2pa
import pytest
from PIL import Image

from countermark.core.errors import ProvenanceError
from countermark.core.results import VerificationState as State
from countermark.provenance.credentials.contexts import context
from countermark.provenance.credentials.jumbf import boxes
from countermark.provenance.credentials.signing import Ingredient, sign_bytes
from countermark.provenance.credentials.softbinding import SoftBinding
from countermark.provenance.credentials.verification import verify_image
from countermark.provenance.identities.store import get_identity
from countermark.provenance.source_types import IPTC_PREFIX

CREATED = {"action": "c2pa.created", "digitalSourceType": IPTC_PREFIX + "trainedAlgorithmicMedia"}


def foreign_sign(data: bytes, *, actions=(CREATED,), assertions=(), settings=None, url=None) -> bytes:
    """What somebody else's software may write: the bare library, with whatever it lets pass."""
    manifest = {
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": list(actions)}}, *assertions],
        "claim_generator_info": [{"name": "elsewhere"}],
    }
    output = io.BytesIO()
    used = c2pa.Context.from_dict(settings) if settings else context()
    with c2pa.Builder(manifest, context=used) as builder:
        if url:
            builder.set_remote_url(url)
            builder.set_no_embed()
        builder.sign(get_identity().native_signer(), "image/png", io.BytesIO(data), output)
    return output.getvalue()


@pytest.fixture
def listener() -> Iterator[tuple[str, list[bytes]]]:
    """A loopback server that notes every connection."""
    calls: list[bytes] = []
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0.1)
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            try:
                connection, _ = server.accept()
            except TimeoutError:
                continue
            with connection:
                connection.settimeout(1)
                calls.append(connection.recv(200))
                connection.sendall(
                    b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                )

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}/manifest.c2pa", calls
    stop.set()
    thread.join()
    server.close()


def test_1_signing_again_keeps_provenance(encoded):
    first = sign_bytes(encoded("png"), title="first")
    lost = foreign_sign(first.data)  # the bare library drops it
    assert len(verify_image(lost).chain) == 1
    again = verify_image(sign_bytes(first.data, title="second").data)
    assert [link.label for link in again.chain][1:] == [first.manifest_id]
    assert again.chain[0].actions[0]["action"] == "c2pa.opened"
    thrice = sign_bytes(sign_bytes(first.data).data, parents=[Ingredient(encoded("jpeg"), "componentOf")])
    assert [link.state for link in verify_image(thrice.data).chain] == [
        "trusted",
        "trusted",
        "trusted",
        "absent",
    ]
    dropped = sign_bytes(first.data, keep_history=False)
    assert len(verify_image(dropped.data).chain) == 1


def test_1_history_is_kept_when_new_pixels_are_signed(encoded):
    first = sign_bytes(encoded("png"))
    marked = sign_bytes(encoded("webp"), history=first.data)
    assert [link.label for link in verify_image(marked.data).chain][1:] == [first.manifest_id]


@pytest.mark.parametrize("where", [b"jumb", b"instanceID", b"trainedAlgorithmicMedia"])
def test_1_damaged_history_is_not_dropped_in_silence(encoded, where):
    first = sign_bytes(encoded("png")).data
    at = first.find(where)
    broken = first[:at] + b"x" + first[at + 1 :]
    try:
        signed = sign_bytes(broken)
    except ProvenanceError as error:
        assert error.code == "history.unreadable"
    else:
        assert verify_image(signed.data).state is State.INVALID
    assert verify_image(sign_bytes(broken, keep_history=False).data).state is State.TRUSTED


def test_2_tampered_parent_makes_the_whole_invalid(encoded):
    first = sign_bytes(encoded("png"))
    at = first.data.find(b"IDAT") + 40
    spoiled = first.data[:at] + bytes([first.data[at] ^ 1]) + first.data[at + 1 :]
    child = sign_bytes(spoiled).data
    with c2pa.Reader("image/png", io.BytesIO(child), context=context(_anchors())) as reader:
        assert reader.get_validation_state() == "Trusted"  # that is the pitfall
    result = verify_image(child)
    assert result.state is State.INVALID
    assert result.problems[0].where == first.manifest_id
    grandchild = verify_image(sign_bytes(child).data)
    assert grandchild.state is State.INVALID
    assert [link.state for link in grandchild.chain] == ["trusted", "trusted", "invalid"]
    component = verify_image(sign_bytes(encoded("jpeg"), parents=[Ingredient(spoiled, "componentOf")]).data)
    assert component.state is State.INVALID


def test_3_no_address_in_an_image_is_fetched(encoded, listener):
    url, calls = listener
    data = foreign_sign(encoded("png"), url=url)
    assert url.encode() in data
    result = verify_image(data)
    assert result.state is State.ABSENT
    assert result.problems[0].code == "manifest.inaccessible" and "nothing was fetched" in result.summary
    sign_bytes(data)
    sign_bytes(encoded("png"), parents=[data])
    assert calls == []
    with pytest.raises(c2pa.C2paError), c2pa.Context() as bare:
        c2pa.Reader("image/png", io.BytesIO(data), context=bare)
    assert calls  # the bare library does connect, so the listener would have seen us


def test_4_soft_binding_values_are_byte_strings(encoded):
    signed = sign_bytes(encoded("png"), soft_bindings=[SoftBinding("org.countermark.tile.1", b"12345678")])
    content = next(part for label, _, part in boxes(signed.manifest) if label == "c2pa.soft-binding")
    assert b"\x65value\x4812345678" in content


def test_5_unknown_soft_binding_algorithms_are_reported(encoded):
    def bound(alg: str) -> bytes:
        data = {"alg": alg, "blocks": [{"scope": {}, "value": "AAAA"}]}
        return foreign_sign(encoded("png"), assertions=[{"label": "c2pa.soft-binding", "data": data}])

    result = verify_image(bound("com.example.nonsense"))
    assert result.state is State.TRUSTED
    assert [(each.code, each.severity) for each in result.problems] == [
        ("countermark.softBinding.unknown", "notice")
    ]
    assert verify_image(bound("com.adobe.trustmark.P")).problems == ()


def test_6_nonsense_source_types_are_refused_and_reported(encoded):
    with pytest.raises(ProvenanceError) as caught:
        sign_bytes(encoded("png"), digital_source_type="trainedAlgorithmicMedium")
    assert caught.value.code == "source-type.unknown" and "trainedAlgorithmicMedia" in caught.value.hint
    with pytest.raises(ProvenanceError):
        sign_bytes(encoded("png"), actions=[{"action": "c2pa.edited", "digitalSourceType": "banana"}])
    result = verify_image(foreign_sign(encoded("png"), actions=[{**CREATED, "digitalSourceType": "banana"}]))
    assert result.digital_source_type is None
    assert [each.code for each in result.problems] == ["countermark.digitalSourceType.unknown"]


def test_6_first_action_is_right_by_construction(encoded):
    result = verify_image(foreign_sign(encoded("png"), actions=[{"action": "c2pa.edited"}]))
    assert "assertion.action.malformed" in [each.code for each in result.problems]
    assert result.state is State.INVALID
    assert verify_image(sign_bytes(encoded("png"), actions=["c2pa.edited"]).data).state is State.TRUSTED


def test_7_thumbnails_are_opt_in_and_never_enlarged(encoded):
    plain = sign_bytes(encoded("jpeg"))
    assert len(plain.data) - len(encoded("jpeg")) < 6_000
    small = sign_bytes(encoded("jpeg"), thumbnail=1024)
    store = verify_image(small.data)
    assert store.state is State.TRUSTED and "thumbnail" in store.manifest
    with c2pa.Reader("image/jpeg", io.BytesIO(small.data), context=context()) as reader:
        picture = io.BytesIO()
        reader.resource_to_stream(store.manifest["thumbnail"]["identifier"], picture)
    assert max(Image.open(picture).size) <= 128
    assert "thumbnail" not in verify_image(plain.data).manifest


def test_8_an_embedded_manifest_cannot_be_put_back(encoded):
    signed = sign_bytes(encoded("png"))
    result = verify_image(encoded("png"), manifest=signed.manifest)
    assert result.state is State.INVALID
    assert "assertion.dataHash.mismatch" in [each.code for each in result.problems]
    beside = sign_bytes(encoded("png"), embed=False)
    assert beside.data == encoded("png")
    assert verify_image(encoded("png"), manifest=beside.manifest).state is State.TRUSTED


def test_9_threads_share_an_identity(encoded):
    identity = get_identity()
    bindings = [SoftBinding("org.countermark.tile.1", b"12345678")]

    def cycle(number: int) -> State:
        signed = sign_bytes(
            encoded("jpeg"), identity=identity, seed=number, soft_bindings=bindings if number % 2 else ()
        )
        return verify_image(signed.data).state

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(cycle, range(64))) == {State.TRUSTED}


def _forked(data: bytes) -> str:
    return str(verify_image(sign_bytes(data).data).state)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_9_forked_workers_sign_and_verify(encoded):
    """The library's objects are not valid in a forked child, so none may be carried into one."""
    assert _forked(encoded("png")) == "trusted"
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.map_async(_forked, [encoded("png")] * 2).get(60) == ["trusted", "trusted"]
    assert _forked(encoded("png")) == "trusted"


def test_10_cawg_signer_settings_are_ignored_by_the_library(encoded):
    """So no identity assertion is promised anywhere; this test tells when the library changes."""
    identity = get_identity()
    settings = {
        "builder": {"thumbnail": {"enabled": False}},
        "cawg_x509_signer": {
            "local": {
                "alg": "es256",
                "sign_cert": identity.chain_pem,
                "private_key": _key_pem(),
                "tsa_url": None,
            }
        },
    }
    result = verify_image(foreign_sign(encoded("png"), settings=settings))
    assert not [each for each in result.manifest["assertions"] if each["label"].startswith("cawg.identity")]
    with pytest.raises(TypeError):
        sign_bytes(encoded("png"), cawg_identity=identity)  # type: ignore[call-arg]


def test_padding_can_be_flipped_so_a_file_hash_is_no_identity(encoded):
    signed = sign_bytes(encoded("jpeg"))
    at = signed.data.rfind(b"\0" * 64)
    changed = signed.data[:at] + b"\x01" + signed.data[at + 1 :]
    before, after = verify_image(signed.data, digest=True), verify_image(changed, digest=True)
    assert after.state is State.TRUSTED
    assert before.sha256 != after.sha256
    assert before.manifest["label"] == after.manifest["label"] == signed.manifest_id


def _anchors() -> str:
    from countermark.provenance.identities.trust import default_trust

    return default_trust().anchors_pem


def _key_pem() -> str:
    from countermark.provenance.identities.records import folder_of

    return (folder_of("default") / "key.pem").read_text()
