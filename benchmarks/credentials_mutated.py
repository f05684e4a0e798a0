"""Mutated signed files: what verify and the metadata reader make of them. Part of credentials.py."""

from __future__ import annotations

import contextlib
import random
import resource
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def resident_mb() -> float:
    """Resident memory of this process now, in MB; the peak where /proc is not there."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 1e6
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def forget_peak() -> None:
    """Lets the kernel measure the peak of resident memory anew (Linux)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_mb() -> float:
    """Peak of resident memory since ``forget_peak``, in MB; of the whole run where that is unknown."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1e3
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def mutate(files: int, seed: int) -> dict[str, Any]:
    """Verifies and reads the metadata of mutated signed files; counts what comes out."""
    from countermark.core.errors import CountermarkError
    from countermark.provenance.credentials.verification import verify_image
    from countermark.provenance.metadata.reading import read_metadata

    source = random.Random(seed)
    outcomes: Counter[str] = Counter()
    slowest, longest = (0.0, -1), 0.0
    untyped: list[str] = []
    deceived: list[int] = []
    with listener() as (url, connections):
        bases = list(seeds(url))
        for base in bases:
            verify_image(base)
        before, peak = resident_mb(), 0.0
        for number in range(files):
            base = source.choice(bases)
            data = mutated(base, source)
            forget_peak()
            start, cpu = time.perf_counter(), time.process_time()
            try:
                state = str(verify_image(data).state)
                outcomes[state] += 1
            except CountermarkError as error:
                state = error.code
                outcomes[error.code] += 1
            except Exception as error:
                untyped.append(f"{number}: {type(error).__name__}: {error}")
            try:
                read_metadata(data)
            except Exception as error:
                untyped.append(f"{number} metadata: {type(error).__name__}: {error}")
            slowest = max(slowest, (time.process_time() - cpu, number))
            longest = max(longest, time.perf_counter() - start)
            peak = max(peak, peak_mb())
            if state == "trusted" and not same_pixels(base, data):
                deceived.append(number)
    return {
        "files": files,
        "seed": seed,
        "outcomes": dict(outcomes.most_common()),
        "trusted with other pixels": len(deceived),
        "untyped": untyped[:20],
        "untyped count": len(untyped),
        "slowest, CPU s": round(slowest[0], 3),
        "slowest, number": slowest[1],
        "slowest, wall s": round(longest, 3),
        "resident MB at the start": round(before, 1),
        "peak resident MB": round(peak, 1),
        "connections": len(connections),
    }


def same_pixels(one: bytes, other: bytes) -> bool:
    """Whether two files show the same picture; a file that cannot be decoded shows no other one."""
    from countermark.core.errors import ImageError
    from countermark.core.images import read_image

    try:
        return bool((read_image(one).pixels == read_image(other).pixels).all())
    except ImageError:
        return True


def seeds(url: str) -> Iterator[bytes]:
    """Signed files of every format, some with history, soft bindings, metadata, or an address."""
    from credentials import picture

    from countermark.core.images import encode_image
    from countermark.provenance.credentials.signing import Ingredient, sign_bytes
    from countermark.provenance.credentials.softbinding import SoftBinding

    bindings = [SoftBinding("org.countermark.tile.1", b"12345678")]
    for format in ("jpeg", "png", "webp", "avif", "tiff", "gif"):
        data = encode_image(picture(128), format)
        first = sign_bytes(data, prompt="a lighthouse", seed=1, soft_bindings=bindings)
        yield first.data
        yield sign_bytes(first.data, parents=[Ingredient(data, "componentOf")]).data
        yield sign_bytes(data, embed=False, remote_url=url).data if format in ("jpeg", "png") else data


def mutated(base: bytes, source: random.Random) -> bytes:
    """One mutation: flips, cuts, doubled or moved pieces, lengths set to extremes, the address moved."""
    data = bytearray(base)
    kind = source.randrange(8)
    # most damage goes where the structures are, not into the pixels
    span = len(data) if source.random() < 0.3 else min(len(data), 12_000)
    if kind == 0:
        for _ in range(source.choice((1, 1, 2, 8, 64))):
            data[source.randrange(span)] ^= 1 << source.randrange(8)
    elif kind == 1:
        del data[source.randrange(len(data)) :]
    elif kind == 2:
        at, size = source.randrange(span), source.randrange(1, 400)
        del data[at : at + size]
    elif kind == 3:
        at, size = source.randrange(span), source.randrange(1, 400)
        data[at:at] = data[at : at + size]
    elif kind == 4:
        at = source.randrange(max(1, span - 4))
        data[at : at + 4] = source.choice(
            (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\0\0\0\1")
        )
    elif kind == 5:
        at, size = source.randrange(span), source.randrange(1, 200)
        data[at : at + size] = source.randbytes(size)
    elif kind == 6:
        at = data.find(source.choice((b"jumb", b"jumd", b"cbor", b"c2pa", b"c2sh", b"caBX", b"C2PA")))
        if at >= 4:
            data[at - 4 : at] = source.randbytes(4)
    else:
        where = source.choice((b"c2pa.", b"urn:c2pa", b"self#jumbf", b"http"))
        data = bytearray(bytes(data).replace(where, source.randbytes(len(where)), source.randrange(1, 4)))
    return bytes(data)


@contextmanager
def listener() -> Iterator[tuple[str, list[bytes]]]:
    """A loopback server whose address the files carry; it notes every connection."""
    connections: list[bytes] = []
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0.2)
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            try:
                connection, _ = server.accept()
            except TimeoutError:
                continue
            connections.append(b"")
            connection.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/x.c2pa", connections
    finally:
        stop.set()
        thread.join()
        server.close()
