"""Generate: labelled synthetic images from a generator, signed on the way out if asked.

>>> import countermark as cm                                               # doctest: +SKIP
>>> corpus = cm.generate("flowers-128", 16, out="made", seed=7, sign=True)    # doctest: +SKIP
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from countermark.core.corpus import METADATA, Corpus, CorpusRow, write_metadata
from countermark.core.errors import ConfigError, OutputError
from countermark.core.files import atomic_write, sha256_file
from countermark.core.images import encode_image, read_image
from countermark.core.perturb import perturb

if TYPE_CHECKING:
    from countermark.generators import LoadedGenerator

MAX_SCALE = 16
#: IPTC's term for an image that is partly made by a model.
COMPOSITE = "compositeWithTrainedAlgorithmicMedia"


def generate(
    model: str | Path,
    count: int,
    *,
    out: Path | str,
    seed: int = 0,
    condition: str | Path | None = None,
    sign: bool = False,
    identity: str = "default",
    scale: int = 1,
    upscale: int = 1,
    progress: Callable[[int], None] | None = None,
    **options: Any,
) -> Corpus:
    """Writes ``count`` images and their ``metadata.csv`` into ``out``.

    Args:
        model: Name of a shipped generator, or path of its weights.
        count: How many.
        out: Folder; must not hold a corpus yet.
        seed: Of the first image; image i has ``seed + i``.
        condition: A class name, for class-conditional generators; the path of an image for those
            that start from one: a doodle for ``sketch-clothing-128``, a photograph for ``style``, a small
            image for ``superres``.
        sign: Watermark, sign and record every image as ``cm.sign`` does.
        identity: Who signs.
        scale: Enlarge by this whole factor (bicubic): marks need 200 pixels a side. For ``superres``
            the factor of the network, 2 or 4; 1 means 2.
        upscale: 2 or 4: enlarge with the shipped ``superres`` network first.
        options: For the generator: ``style`` (a path or a list), ``mix``, ``style_weight``,
            ``content_weight``, ``steps``, ``keep_colours`` and ``side`` for ``style``; ``style``,
            ``mix``, ``alpha``, ``keep_colours`` and ``style_side`` for ``style-adain``; ``layout`` (the
            path of a picture whose colours are painted anew) for latent generators, and ``side`` for those
            whose pictures tile.
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
    if generator.card.family == "superres":
        options["scale"], scale = 2 if scale == 1 else scale, 1
    unknown = sorted(set(options) - generator.takes)
    if unknown and not generator.card.preprocessing.get("condition"):
        raise ConfigError(f"{generator.name} does not take {', '.join(unknown)}.", code="generator.option")
    sources = _sources(generator, condition, options)
    enlarger = _enlarger(upscale)
    if not sign and scale == 1 and enlarger is None:
        corpus = write_corpus(generator, count, out, seed=seed, condition=condition, **options)
        if progress is not None:
            progress(len(corpus))
        return corpus
    if (out / METADATA).exists():
        raise OutputError(
            f"{out} already holds a corpus.", code="output.exists", hint="Choose another folder."
        )
    with tempfile.TemporaryDirectory(prefix="countermark-") as folder:
        made = write_corpus(
            generator, count, Path(folder) / "made", seed=seed, condition=condition, **options
        )
        rows = []
        for path, row in made:
            if enlarger is not None:
                path, row = _enlarge(path, row, enlarger, upscale)
            rows.append(_finish(path, row, out, scale, identity if sign else None, sources))
            if progress is not None:
                progress(1)
    return write_metadata(out, rows)


@dataclass(frozen=True)
class _Sources:
    """What an image was made from, for its credential."""

    ingredients: tuple[tuple[Path, str], ...] = ()
    source_type: str | None = None


def _sources(generator: LoadedGenerator, condition: str | Path | None, options: dict[str, Any]) -> _Sources:
    """A stylised or enlarged photograph is edited from it; doodles, styles, layouts were given to a model."""
    layout = options.get("layout")
    if isinstance(layout, str | Path):
        return _Sources(((Path(layout), "inputTo"),))
    if not generator.card.preprocessing.get("condition") or condition is None:
        return _Sources()
    composite = bool(getattr(generator, "composite", False))
    found = [(Path(condition), "parentOf" if composite else "inputTo")]
    style = options.get("style")
    looks = style if isinstance(style, list | tuple) else [style]
    found += [(Path(look), "inputTo") for look in looks if look is not None]
    return _Sources(tuple(found), COMPOSITE if composite else None)


def _enlarger(upscale: int) -> LoadedGenerator | None:
    from countermark.generators import load_generator

    if upscale not in (1, 2, 4):
        raise ConfigError(f"The scale {upscale} is not known.", code="superres.scale", hint="Use 2 or 4.")
    return load_generator("superres") if upscale > 1 else None


def _enlarge(path: Path, row: CorpusRow, enlarger: LoadedGenerator, scale: int) -> tuple[Path, CorpusRow]:
    large = enlarger.sample(1, condition=path, scale=scale)[0]
    path = path.with_name(f"large-{path.name}")
    atomic_write(path, encode_image(large, "png"))
    return path, replace(row, extra={**row.extra, "upscaled": str(scale)})


def _finish(
    path: Path, row: CorpusRow, out: Path, scale: int, identity: str | None, sources: _Sources
) -> CorpusRow:
    from countermark.app.sign import sign as sign_file
    from countermark.provenance.credentials.ingredients import Ingredient

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
        parents=[Ingredient(source, relationship) for source, relationship in sources.ingredients],
        digital_source_type=sources.source_type,
    )
    return replace(row, sha256=signed.sha256, extra={**row.extra, "manifest_id": signed.manifest_id})
