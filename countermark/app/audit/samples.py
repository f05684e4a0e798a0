"""The images of an audit and their scores: read once, decoded once, scored once a perturbation.

Checks say beforehand which scores they need; every image is then opened a single time and scored
under all its perturbations. Scores are kept by the SHA-256 of the image, the perturbation and the
SHA-256 of the detector's weights, in memory and, where a cache is given, on disk.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from countermark.app.audit.cache import ScoreCache
from countermark.app.audit.schema import Evidence, Policy
from countermark.app.rooms import Detector, Rooms
from countermark.core.corpus import read_corpus
from countermark.core.errors import ConfigError, CountermarkError
from countermark.core.files import sha256_bytes
from countermark.core.images import Pixels, iter_image_paths, read_bytes, read_image
from countermark.core.perturb import perturb
from countermark.core.seeds import derive, rng

LOG = logging.getLogger(__name__)

BATCH, BATCH_BYTES = 16, 64 * 1024 * 1024
#: Threads that decode and alter pictures, and how many pictures they may be ahead of the scoring.
READERS, AHEAD = 2, 2

#: Told what is done now, how much of it is done, and how much there is.
Report = Callable[[str, int, int], None]


def silent(what: str, done: int, total: int) -> None:
    """Reports nothing."""


class Request(NamedTuple):
    """Scores that a check will ask for; ``limit`` images of the evidence, 0 for all."""

    evidence: str
    spec: str = "none"
    detector: str = ""
    limit: int = 0


@dataclass(frozen=True)
class Item:
    """One image of the evidence; ``name`` is relative to its folder. ``label``: 1 synthetic, 0 real."""

    path: Path
    name: str
    label: int
    cluster: str
    generator: str = ""
    source: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class Images:
    """What one evidence table stands for; ``skipped`` files could not be read."""

    name: str
    table: Evidence
    items: tuple[Item, ...]
    skipped: tuple[dict[str, str], ...] = ()

    def digest(self) -> str:
        """SHA-256 over names, labels and contents."""
        lines = sorted(f"{i.name}\0{i.label}\0{i.sha256}" for i in self.items)
        return sha256_bytes("\n".join(lines).encode("utf-8", "surrogateescape"))

    def summary(self) -> dict[str, Any]:
        labels = [i.label for i in self.items]
        return {
            "name": self.name,
            "images": len(labels),
            "real": labels.count(0),
            "synthetic": labels.count(1),
            "clusters": len({(i.label, i.cluster) for i in self.items}),
            "sha256": self.digest(),
            "skipped": list(self.skipped),
        }


@dataclass(frozen=True)
class Scored:
    """Scores of one evidence table under one perturbation; arrays of equal length.

    Attributes:
        labels: int64, 1 synthetic.
        scores: float64 in [0, 1].
        clusters: str.
    """

    items: tuple[Item, ...]
    labels: np.ndarray
    scores: np.ndarray
    clusters: np.ndarray

    def subset(self, mask: np.ndarray) -> Scored:
        items = tuple(i for i, keep in zip(self.items, mask, strict=True) if keep)
        return Scored(items, self.labels[mask], self.scores[mask], self.clusters[mask])


#: An image, the (perturbation, detector) pairs still to score, and its pixels by perturbation or why not.
_Prepared = tuple[Item, list[tuple[str, str]], dict[str, Pixels] | CountermarkError]


@dataclass
class Library:
    """All evidence of one policy.

    Attributes:
        policy: Names the evidence.
        rooms: Loads the models.
        folders: By evidence name: a folder that replaces the one in the policy.
        cache: Scores on disk, or None.
        workspace: Where made corpora are written; a temporary folder of the audit.
        report: Told what is scored, how many of its images are done, and how many there are.
    """

    policy: Policy
    rooms: Rooms
    workspace: Path
    folders: Mapping[str, Path] = field(default_factory=dict)
    cache: ScoreCache | None = None
    report: Report = silent
    _images: dict[str, Images] = field(default_factory=dict)
    _detectors: dict[str, Detector] = field(default_factory=dict)
    _scores: dict[tuple[str, str, str], float] = field(default_factory=dict)

    def detector(self, name: str | None = None) -> Detector:
        """A detector by name or weights' path (relative to the policy), loaded once."""
        name = name or self.policy.subject.name
        if name not in self._detectors:
            self._detectors[name] = self.rooms.load_detector(self.resolve(name))
        return self._detectors[name]

    def resolve(self, name: str) -> str:
        """A model's name as it is, a weights' path relative to the policy."""
        if name.endswith(".safetensors") or "/" in name:
            return str((self.policy.root / name) if not Path(name).is_absolute() else Path(name))
        return name

    def folder(self, name: str) -> Path:
        """The folder that an evidence table stands for."""
        table = self.policy.evidence[name]
        if name in self.folders:
            return Path(self.folders[name])
        return self.policy.root / (table.corpus or table.folder)

    def images(self, name: str) -> Images:
        """The items of an evidence table: labels, clusters, digests; unreadable files are listed."""
        if name not in self._images:
            self._images[name] = self._collect(name)
        return self._images[name]

    def used(self) -> list[Images]:
        """Every evidence table that was looked at, by name."""
        return [self._images[name] for name in sorted(self._images)]

    def native(self, images: Images) -> Scored | None:
        """Scores of a table as its files are, of the images that were scored so; None if none was."""
        name = self.policy.subject.name
        if name not in self._detectors:
            return None
        digest = self._detectors[name].card.sha256
        items = tuple(i for i in images.items if (i.sha256, "none", digest) in self._scores)
        return self._gather(items, "none", digest) if items else None

    def _collect(self, name: str) -> Images:
        table = self.policy.evidence[name]
        if table.make and name not in self.folders:
            from countermark.app.audit.makers import MAKERS

            target = self.workspace / name
            MAKERS.get(table.make).make(target, table.count, self.policy.statistics.seed, self.rooms)
            items = list(self._labelled(target, table))
        elif table.folder:
            items = list(self._unlabelled(self.folder(name)))
        else:
            items = list(self._labelled(self.folder(name), table))
        return self._digest(name, table, self._limit(items, table, name))

    def _labelled(self, folder: Path, table: Evidence) -> Iterator[Item]:
        for path, row in read_corpus(folder):
            if table.split and row.split != table.split:
                continue
            column = table.cluster.synthetic if row.is_synthetic else table.cluster.real
            known = {"source": row.source, "generator": row.generator, "seed": row.seed, **row.extra}
            if column != "image" and column not in known:
                raise ConfigError(
                    f"The corpus {folder} has no column {column!r} to cluster by.", code="policy.cluster"
                )
            cluster = "" if column == "image" else known[column]
            yield Item(
                path,
                row.file_name,
                int(row.is_synthetic),
                cluster or f"image:{row.file_name}",
                row.generator,
                row.source,
            )

    def _unlabelled(self, folder: Path) -> Iterator[Item]:
        if not folder.is_dir():
            raise ConfigError(f"{folder} is not a folder.", code="policy.folder")
        for path in iter_image_paths([folder]):
            name = path.relative_to(folder).as_posix()
            yield Item(path, name, 1, f"image:{name}")

    def _limit(self, items: list[Item], table: Evidence, name: str) -> list[Item]:
        items.sort(key=lambda i: i.name)
        return self.draw(items, table.limit, name)

    def draw(self, items: Sequence[Item], limit: int, name: str) -> list[Item]:
        """At most ``limit`` items, half of each label where there are both, the same ones every time."""
        if not limit or len(items) <= limit:
            return list(items)
        seed = self.policy.statistics.seed
        ranked = [
            sorted((i for i in items if i.label == label), key=lambda i: derive(seed, "limit", name, i.name))
            for label in (0, 1)
        ]
        share = [min(len(ranked[0]), limit // 2), min(len(ranked[1]), limit - limit // 2)]
        spare = limit - sum(share)
        share = [min(len(members), count + spare) for members, count in zip(ranked, share, strict=True)]
        kept = [*ranked[0][: share[0]], *ranked[1][: share[1]]]
        return sorted(kept[:limit], key=lambda i: i.name)

    def _digest(self, name: str, table: Evidence, items: list[Item]) -> Images:
        good, skipped = [], []
        for item in items:
            try:
                data = read_bytes(item.path)
            except CountermarkError as error:
                skipped.append({"file": item.name, "code": error.code, "message": error.message})
                continue
            fields = {
                f: getattr(item, f) for f in ("path", "name", "label", "cluster", "generator", "source")
            }
            good.append(Item(**fields, sha256=sha256_bytes(data)))
        return Images(name, table, tuple(good), tuple(skipped))

    def prefetch(self, requests: Iterable[Request]) -> None:
        """Scores everything that is asked for, opening every image once."""
        wanted: dict[str, dict[str, set[tuple[str, str]]]] = {}
        for request in requests:
            job = (request.spec, request.detector or self.policy.subject.name)
            jobs = wanted.setdefault(request.evidence, {})
            for item in self.draw(self.images(request.evidence).items, request.limit, request.evidence):
                jobs.setdefault(item.name, set()).add(job)
        for evidence, jobs in wanted.items():
            self._score_all(self.images(evidence), jobs)

    def _score_all(self, images: Images, jobs: Mapping[str, set[tuple[str, str]]]) -> None:
        every = sorted(set().union(*jobs.values())) if jobs else []
        digests = {name: self.detector(name).card.sha256 for _, name in every}
        queues: dict[tuple[str, str], list[tuple[Item, Pixels]]] = {job: [] for job in every}
        broken: dict[str, dict[str, str]] = {}
        todo = []
        for item in images.items:
            asked = sorted(jobs.get(item.name, ()))
            missing = [j for j in asked if not self._known(item.sha256, j[0], digests[j[1]])]
            if missing:
                todo.append((item, missing))
        if todo:
            asked_for = sum(len(missing) for _, missing in todo)
            LOG.info("Evidence %s: %d scores of %d images", images.name, asked_for, len(todo))
        for number, (item, missing, changed) in enumerate(self._read_ahead(todo), 1):
            self.report(f"Scoring {images.name}", number, len(todo))
            if isinstance(changed, CountermarkError):
                broken[item.name] = {"file": item.name, "code": changed.code, "message": changed.message}
                continue
            for job in missing:
                queues[job].append((item, changed[job[0]]))
                held = sum(pixels.nbytes for _, pixels in queues[job])
                if len(queues[job]) >= BATCH or held >= BATCH_BYTES:
                    self._flush(job, queues[job], digests[job[1]])
        for job, queue in queues.items():
            self._flush(job, queue, digests[job[1]])
        if self.cache is not None:
            self.cache.commit()
        if broken:
            kept = tuple(i for i in images.items if i.name not in broken)
            skipped = images.skipped + tuple(broken[k] for k in sorted(broken))
            self._images[images.name] = Images(images.name, images.table, kept, skipped)

    def _read_ahead(self, todo: list[tuple[Item, list[tuple[str, str]]]]) -> Iterator[_Prepared]:
        """Items in order with their pixels by perturbation, prepared while others are scored."""

        def prepare(work: tuple[Item, list[tuple[str, str]]]) -> _Prepared:
            item, missing = work
            try:
                pixels = read_image(item.path).pixels
                changed = {
                    spec: self._perturb(spec, pixels, item) for spec in sorted({s for s, _ in missing})
                }
            except CountermarkError as error:
                return item, missing, error
            return item, missing, changed

        with ThreadPoolExecutor(max_workers=READERS) as pool:
            waiting: deque[Future[_Prepared]] = deque()
            for work in todo:
                waiting.append(pool.submit(prepare, work))
                if len(waiting) > AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _perturb(self, spec: str, pixels: Pixels, item: Item) -> Pixels:
        return perturb(spec, pixels, rng(self.policy.statistics.seed, spec, item.sha256))

    def _known(self, digest: str, spec: str, detector: str) -> bool:
        key = (digest, spec, detector)
        if key not in self._scores and self.cache is not None:
            found = self.cache.get(digest, self._cache_spec(spec), detector)
            if found is not None:
                self._scores[key] = found
        return key in self._scores

    def _cache_spec(self, spec: str) -> str:
        return f"{spec}#{self.policy.statistics.seed}"

    def _flush(self, job: tuple[str, str], queue: list[tuple[Item, Pixels]], digest: str) -> None:
        if not queue:
            return
        values = np.asarray(self.detector(job[1]).score([pixels for _, pixels in queue]), dtype=np.float64)
        for (item, _), value in zip(queue, values, strict=True):
            self._scores[(item.sha256, job[0], digest)] = float(value)
            if self.cache is not None:
                self.cache.put(item.sha256, self._cache_spec(job[0]), digest, float(value))
        queue.clear()

    def scores(
        self, evidence: str, spec: str = "none", detector: str | None = None, limit: int = 0
    ) -> Scored:
        """Scores of an evidence table under a perturbation; scored now if not prefetched."""
        name = detector or self.policy.subject.name
        chosen = self.draw(self.images(evidence).items, limit, evidence)
        self._score_all(self.images(evidence), {i.name: {(spec, name)} for i in chosen})
        known = {i.name for i in self.images(evidence).items}
        items = tuple(i for i in chosen if i.name in known)
        return self._gather(items, spec, self.detector(name).card.sha256)

    def _gather(self, items: tuple[Item, ...], spec: str, digest: str) -> Scored:
        return Scored(
            items,
            np.array([i.label for i in items], dtype=np.int64),
            np.array([self._scores[(i.sha256, spec, digest)] for i in items], dtype=np.float64),
            np.array([i.cluster for i in items], dtype=str),
        )
