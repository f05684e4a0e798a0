"""Corpora of generated images: PNG files with a table that says how to make each one again.

``metadata.csv`` holds, besides the columns of every corpus, ``weights_sha256``, ``condition`` and
``family`` in each row; the image's own seed is in ``seed``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from countermark.core.corpus import METADATA, Corpus, CorpusRow, write_metadata
from countermark.core.errors import OutputError
from countermark.core.files import atomic_write, sha256_bytes
from countermark.core.images import encode_image
from countermark.generators.base import LoadedGenerator

CHUNK = 256


def write_corpus(
    generator: LoadedGenerator,
    count: int,
    out: Path | str,
    seed: int = 0,
    condition: Any = None,
    **options: Any,
) -> Corpus:
    """Writes ``count`` images under ``out`` and returns the corpus.

    Image i is made from ``seed + i``; ``options`` go to the generator's ``sample``. Nothing is
    overwritten; the table is written last, so a folder without one is an unfinished run.

    Raises:
        OutputError: ``output.exists`` if ``out`` already holds a corpus or one of the images.
        ConfigError: a condition that the generator does not know.
    """
    root = Path(out)
    if (root / METADATA).exists():
        raise OutputError(
            f"{root} already holds a corpus.", code="output.exists", hint="Choose another folder."
        )
    rows: list[CorpusRow] = []
    # Images made from an image may be large: one at a time.
    chunk = 1 if generator.card.preprocessing.get("condition") else CHUNK
    for start in range(0, max(count, 1), chunk):
        amount = min(chunk, count - start)
        images = generator.sample(amount, seed=seed + start, condition=condition, **options)
        labels = generator.labels(amount, seed + start, condition)
        for index, pixels in enumerate(images):
            number = seed + start + index
            data = encode_image(pixels, "png")
            name = f"{generator.name}-{number:08d}.png"
            atomic_write(root / name, data)
            rows.append(
                CorpusRow(
                    file_name=name,
                    label="synthetic",
                    generator=generator.name,
                    source="countermark",
                    seed=str(number),
                    sha256=sha256_bytes(data),
                    extra={
                        "weights_sha256": generator.sha256,
                        "family": generator.card.family,
                        "condition": _name(condition)
                        if labels is None
                        else generator.classes[int(labels[index])],
                    },
                )
            )
    return write_metadata(root, rows)


def _name(condition: Any) -> str:
    """The file name of a condition that is a path; empty for others."""
    return Path(condition).name if isinstance(condition, str | Path) else ""
