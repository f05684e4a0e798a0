"""A labelled corpus as training code expects one: by number, as ``torchvision.datasets.ImageFolder`` does.

>>> from countermark.core.dataset import CorpusDataset
>>> pictures = CorpusDataset("corpus", split="train")                  # doctest: +SKIP
>>> loader = torch.utils.data.DataLoader(pictures, batch_size=16)      # doctest: +SKIP

The folder itself is read by Hugging Face's library too: ``datasets.load_dataset("imagefolder",
data_dir="corpus")`` takes ``metadata.csv`` as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

from countermark.core.corpus import LABELS, CorpusRow, read_corpus
from countermark.core.errors import CorpusError
from countermark.core.images import DEFAULT_LIMITS, Limits, Pixels, read_image


class CorpusDataset(Sequence[tuple[Any, Any]]):
    """Pictures and labels of a corpus; every picture comes through the one gate for images.

    Args:
        folder: A labelled folder.
        split: Rows of this split alone; None takes all.
        transform: Turns pixels (uint8 RGB, H x W x 3) into what is wanted; by default they stay.
        target_transform: Turns a label (0 real, 1 synthetic) into what is wanted.
        limits: Bounds of the image gate.

    Attributes:
        classes: ``real``, ``synthetic``; a label is a place among them.
        class_to_idx: Each with its place.
        samples: Path and label of every picture, in the corpus's order.
        targets: The labels alone.
        rows: What the corpus says of each: generator, source, split, seed.

    Raises:
        CorpusError: no corpus, or no picture of this split.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        split: str | None = None,
        transform: Callable[[Pixels], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        corpus = read_corpus(folder).select(split=split)
        if not len(corpus):
            raise CorpusError(f"{folder} has no pictures of the split {split!r}.", code="corpus.empty")
        self.root = corpus.root
        self.classes = list(LABELS)
        self.class_to_idx = {name: number for number, name in enumerate(LABELS)}
        self.rows: tuple[CorpusRow, ...] = corpus.rows
        self.samples = [(str(path), self.class_to_idx[row.label]) for path, row in corpus]
        self.targets = [label for _, label in self.samples]
        self.transform, self.target_transform = transform, target_transform
        self._limits = limits

    def __len__(self) -> int:
        return len(self.samples)

    @overload
    def __getitem__(self, index: int) -> tuple[Any, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[tuple[Any, Any]]: ...
    def __getitem__(self, index: int | slice) -> tuple[Any, Any] | list[tuple[Any, Any]]:
        """Picture and label; ImageError where the file cannot be read."""
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        path, label = self.samples[index]
        picture: Any = read_image(path, self._limits).pixels
        if self.transform is not None:
            picture = self.transform(picture)
        return picture, label if self.target_transform is None else self.target_transform(label)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return (self[number] for number in range(len(self)))
