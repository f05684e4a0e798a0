"""The service under load: fifty clients, some of them slow, broken or gone, on a real server.

    python benchmarks/service.py --requests 5000            # writes docs/benchmark-service.md
    python benchmarks/service.py --repository postgresql://user@host/name

A server of its own (one worker, the detector ``lite``, one thread) is started and waited for until it is
ready. The first request is timed against those that follow it, one after the other. Then the clients send
their share of the requests as fast as they are answered: three of four a verification, one of four a scan of
a small picture; beside them one in ten connections sends half a head, half a body or no HTTP, or hangs up.
Somebody else, in a process apart, asks ``/healthz`` and ``/readyz`` every tenth of a second all the while.
What must hold: no answer of 500 or above but 503 with Retry-After, ``/healthz`` within 100 ms, memory flat.
Where other programs share the processor the times are of that machine at that time: what the server's threads
had to wait for a processor is given beside them.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import random
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import httpx
import numpy as np

OUT = Path(__file__).resolve().parents[1] / "docs" / "benchmark-service.md"
SERVER = """
import sys
from pathlib import Path
from countermark.app.service import Settings, context, run_service

def lite(self):
    with self._detector_lock:
        if self._detector is None:
            from countermark.detectors import load_detector
            self._detector = load_detector("lite")
        return self._detector

context.Context.detector = lite
run_service("127.0.0.1", int(sys.argv[1]), settings=Settings(
    repository=sys.argv[2], tokens=Path(sys.argv[3]), rate=1e6, burst=10**6, workers=1, page="off",
))
"""


@dataclass
class Seen:
    """What the clients saw."""

    statuses: Counter[int] = field(default_factory=Counter)
    without_retry: int = 0
    cut_off: int = 0
    healthz: list[float] = field(default_factory=list)
    readyz: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    strange: int = 0


def picture(seed: int) -> bytes:
    from countermark.core.images import encode_image

    noise = np.random.default_rng(seed).integers(0, 255, (12, 16, 3), np.uint8)
    return encode_image(cv2.resize(noise, (320, 240), interpolation=cv2.INTER_CUBIC), "jpeg", quality=90)


def memory_of(process: int) -> float:
    """Resident memory in MB."""
    text = Path(f"/proc/{process}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1024


def waited(process: int) -> tuple[float, float]:
    """Seconds that all threads of a process have run, and have waited for a processor."""
    ran = held = 0.0
    for task in Path(f"/proc/{process}/task").iterdir():
        first, second, _ = (task / "schedstat").read_text().split()
        ran, held = ran + int(first) / 1e9, held + int(second) / 1e9
    return ran, held


async def clients(url: str, token: str, given: argparse.Namespace, seen: Seen) -> None:
    pictures = [picture(number) for number in range(20)]
    stop = time.monotonic() + given.seconds
    left = iter(range(given.requests))

    async def one(number: int) -> None:
        chance = random.Random(number)
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(headers=headers, timeout=600, verify=False) as client:  # no TLS here
            for _ in left:
                if time.monotonic() > stop:
                    return
                if chance.random() < 0.1:
                    await odd(url, token, chance)
                    seen.strange += 1
                path = "/v1/scan" if chance.random() < 0.25 else "/v1/verify"
                try:
                    answer = await client.post(url + path, content=chance.choice(pictures))
                except httpx.TransportError:
                    seen.cut_off += 1
                    continue
                seen.statuses[answer.status_code] += 1
                if answer.status_code == 503:
                    seen.without_retry += "retry-after" not in answer.headers
                    await asyncio.sleep(chance.uniform(0, 2) * float(answer.headers.get("retry-after", 1)))

    await asyncio.gather(*(one(number) for number in range(given.clients)))


async def odd(url: str, token: str, chance: random.Random) -> None:
    """A client that is slow, broken, or gone."""
    host, port = url.removeprefix("http://").split(":")
    head = f"POST /v1/scan HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 5000\r\n"
    sent = chance.choice([head.encode(), f"{head}\r\nhalf".encode(), b"\x16\x03\x01 no HTTP\r\n\r\n", b""])
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent)
    asyncio.get_running_loop().call_later(chance.uniform(0, 5), writer.close)


def watch(url: str, process: int) -> None:
    """Asks until its standard input ends, then prints what it saw; a process of its own."""
    times: dict[str, list[float]] = {"/healthz": [], "/readyz": []}
    memory = []
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=600)
    while not select.select([sys.stdin], [], [], 0.1)[0]:
        for path, found in times.items():
            started = time.perf_counter()
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            found.append(time.perf_counter() - started)
            assert answer.status == 200, (path, answer.status)
        memory.append(memory_of(process))
    print(json.dumps({"healthz": times["/healthz"], "readyz": times["/readyz"], "memory": memory}))


def _both(seen: Seen) -> list[tuple[str, list[float]]]:
    return [("/healthz", seen.healthz), ("/readyz", seen.readyz)]


def load(url: str, token: str, process: int, given: argparse.Namespace) -> Seen:
    seen = Seen()
    watcher = subprocess.Popen(
        [sys.executable, __file__, "--watch", url, str(process)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    asyncio.run(clients(url, token, given, seen))
    told, _ = watcher.communicate(b"\n")
    for name, values in json.loads(told).items():
        setattr(seen, name, values)
    return seen


def first_and_next(url: str, token: str, process: int) -> list[tuple[float, float]]:
    """The first scans after the start, one after the other, each of another picture: seconds, and the
    server's processor seconds."""
    times = []
    with httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=600) as client:
        for number in range(9):
            data = picture(100 + number)
            started, used = time.perf_counter(), waited(process)[0]
            client.post(f"{url}/v1/scan", content=data).raise_for_status()
            times.append((time.perf_counter() - started, waited(process)[0] - used))
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=1e9, help="After which no more requests are sent.")
    parser.add_argument("--repository", default="")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--watch", nargs=2, metavar=("URL", "PROCESS"), help="Only watch a server.")
    given = parser.parse_args()
    if given.watch:
        return watch(given.watch[0], int(given.watch[1]))
    from countermark.app.service import create_token

    with tempfile.TemporaryDirectory() as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        token = create_token("load", ["scan", "verify"], path=Path(folder) / "tokens.json")
        repository = given.repository or f"sqlite:///{folder}/m.db"
        environment = os.environ | {"COUNTERMARK_HOME": f"{folder}/home", "OMP_NUM_THREADS": "1"}
        arguments = [sys.executable, "-c", SERVER, str(port), repository, f"{folder}/tokens.json"]
        with open(Path(folder) / "log", "wb") as log:
            server = subprocess.Popen(arguments, stderr=log, env=environment)
        url = f"http://127.0.0.1:{port}"
        try:
            ready(url)
            times = first_and_next(url, token, server.pid)
            before, started = waited(server.pid), time.perf_counter()
            seen = load(url, token, server.pid, given)
            seconds, after = time.perf_counter() - started, waited(server.pid)
        finally:
            server.terminate()
            server.wait()
        failures = Path(folder, "log").read_text().count('"failure"')
    ran, held = after[0] - before[0], after[1] - before[1]
    text = report(given, times, seen, seconds, ran, held, failures)
    given.out.write_text(text)
    print(text)
    return None


def ready(url: str) -> None:
    for _ in range(3000):
        try:
            if httpx.get(f"{url}/readyz", timeout=60).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise SystemExit("the server did not become ready")


def report(
    given: argparse.Namespace,
    times: list[tuple[float, float]],
    seen: Seen,
    seconds: float,
    ran: float,
    held: float,
    failures: int,
) -> str:
    kind = "PostgreSQL" if given.repository.startswith("postgresql") else "SQLite"
    statuses = ", ".join(f"{status}: {count:,}" for status, count in sorted(seen.statuses.items()))
    bad = sum(count for status, count in seen.statuses.items() if status >= 500 and status != 503)
    quarter, after = max(1, len(seen.memory) // 4), np.median(times[1:], axis=0)
    early, late = np.median(seen.memory[quarter : 2 * quarter]), np.median(seen.memory[-quarter:])
    rows = [
        ("requests of the clients, answered", f"{sum(seen.statuses.values()):,} in {seconds:.0f} s"),
        ("answers by status", statuses),
        ("500 and above but 503", f"{bad}"),
        ("503 without Retry-After", f"{seen.without_retry}"),
        ("connections cut off", f"{seen.cut_off}"),
        ("failures in the server's log", f"{failures}"),
        ("slow, broken or vanished connections beside them", f"{seen.strange}"),
        *((f"`{name}`: median, 99 %, longest", spread(times)) for name, times in _both(seen)),
        ("memory: second quarter, last quarter, most", f"{early:.0f}, {late:.0f}, {max(seen.memory):.0f} MB"),
        ("first scan; median of the eight after it", f"{times[0][0]:.2f} s; {after[0]:.2f} s"),
        ("the same in processor seconds of the server", f"{times[0][1]:.2f} s; {after[1]:.2f} s"),
        ("processor: used by the server, waited for by its threads", f"{ran:.0f} s, {held:.0f} s"),
    ]
    lines = [
        "# The service under load",
        "",
        f"Made by `python benchmarks/service.py --clients {given.clients} --requests {given.requests}`, "
        f"records in {kind}. " + " ".join((__doc__ or "").split("\n\n")[2].split()),
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in rows),
    ]
    return "\n".join(lines) + "\n"


def spread(times: list[float]) -> str:
    middle, high = np.percentile(times, [50, 99])
    return f"{middle * 1000:.0f}, {high * 1000:.0f}, {max(times) * 1000:.0f} ms ({len(times)} times)"


if __name__ == "__main__":
    main()
