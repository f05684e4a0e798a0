"""Generate: labelled synthetic images from a generator, signed on the way out if asked.

>>> import countermark as cm                                               # doctest: +SKIP
>>> corpus = cm.generate("faces-64", 16, out="made", seed=7, sign=True)    # doctest: +SKIP
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from countermark.core.corpus import METADATA, Corpus, CorpusRow, write_metadata
from countermark.core.errors import ConfigError, OutputError
from countermark.core.files import atomic_write, sha256_file
from countermark.core.images import encode_image, read_image
from countermark.core.perturb import perturb

MAX_SCALE = 16


def generate(
    model: str | Path,
    count: int,
    *,
    out: Path | str,
    seed: int = 0,
    condition: str | None = None,
    sign: bool = False,
    identity: str = "default",
    scale: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Corpus:
    """Writes ``count`` images and their ``metadata.csv`` into ``out``.

    Args:
        model: Name of a shipped generator, or path of its weights.
        count: How many.
        out: Folder; must not hold a corpus yet.
        seed: Of the first image; image i has ``seed + i``.
        condition: A class name, for class-conditional generators.
        sign: Watermark, sign and record every image as ``cm.sign`` does.
        identity: Who signs.
        scale: Enlarge by this whole factor (bicubic): marks need 200 pixels a side.
        progress: Called with 1 for every image that is written.

    Raises:
        UnknownNameError: lists the known generators.
        OutputError: ``out`` already holds a corpus, or the disk is full.
    """
    from countermark.generators import load_generator, write_corpus

    if not 1 <= scale <= MAX_SCALE:
        raise ConfigError(f"The scale {scale} is not between 1 and {MAX_SCALE}.")
    generator = load_generator(model)
    out = Path(out)
    if not sign and scale == 1:
        corpus = write_corpus(generator, count, out, seed=seed, condition=condition)
        if progress is not None:
            progress(len(corpus))
        return corpus
    if (out / METADATA).exists():
        raise OutputError(
            f"{out} already holds a corpus.", code="output.exists", hint="Choose another folder."
        )
    with tempfile.TemporaryDirectory(prefix="countermark-") as folder:
        made = write_corpus(generator, count, Path(folder) / "made", seed=seed, condition=condition)
        rows = []
        for path, row in made:
            rows.append(_finish(path, row, out, scale, identity if sign else None))
            if progress is not None:
                progress(1)
    return write_metadata(out, rows)


def _finish(path: Path, row: CorpusRow, out: Path, scale: int, identity: str | None) -> CorpusRow:
    from countermark.app.sign import sign as sign_file

    destination = out / row.file_name
    if scale > 1:
        pixels = perturb(f"resize:{scale}", read_image(path).pixels)
        path = path.with_name(f"scaled-{path.name}")
        atomic_write(path, encode_image(pixels, "png"))
    if identity is None:
        atomic_write(destination, path.read_bytes())
        return replace(row, sha256=sha256_file(destination))
    name = f"{row.generator}@{row.extra.get('weights_sha256', '')[:12]}"
    signed = sign_file(
        path,
        destination,
        identity=identity,
        generator=f"countermark/{row.generator}",
        model=name,
        seed=row.seed,
    )
    return replace(row, sha256=signed.sha256, extra={**row.extra, "manifest_id": signed.manifest_id})
