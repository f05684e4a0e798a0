"""Training of the learned watermark.

    python -m countermark.provenance.watermark.neural.train FOLDER --out neural.safetensors --minutes 10

First the message alone is learned, then the weight of the picture's change rises as soon as bits are read
reliably. At the end bit accuracies and PSNR on pictures that were held out are printed. Goes on from
``--out`` where that exists.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor
from torch.nn import functional

from countermark.core.errors import CountermarkError, WeightsError
from countermark.core.files import atomic_write
from countermark.core.images import iter_image_paths, read_image
from countermark.core.perturb import perturb
from countermark.core.seeds import rng
from countermark.provenance.watermark.neural.augment import handle
from countermark.provenance.watermark.neural.networks import BITS, SIDE, Decoder, Encoder, embed, read

HELD_OUT = 16
JUDGED = ("none", "jpeg:75", "jpeg:50", "resize:0.5", "crop:0.5", "rotate:5", "noise:10", "screenshot")


@dataclass
class Trainer:
    """One step at a time, so that a training can be stopped, tested and gone on with.

    Attributes:
        quality: Weight of the picture's change in the loss; rises while bits are read well.
        amount: Strength of the augmentations, 0 to 1; rises likewise.
    """

    encoder: Encoder
    decoder: Decoder
    seed: int = 0
    rate: float = 1e-3
    quality: float = 0.0
    amount: float = 0.0

    def __post_init__(self) -> None:
        self.random = torch.Generator().manual_seed(self.seed)
        parameters = [*self.encoder.parameters(), *self.decoder.parameters()]
        self.optimiser = torch.optim.AdamW(parameters, lr=self.rate)

    def step(self, images: Tensor, messages: Tensor | None = None) -> tuple[float, float]:
        """One step on pictures (n x 3 x side x side, 0 to 1); returns loss and bit accuracy."""
        if messages is None:
            bits = self.encoder.message.in_features
            messages = torch.randint(0, 2, (len(images), bits), generator=self.random).float()
        marked = embed(self.encoder, images, messages)
        logits = read(self.decoder, handle(marked, self.random, self.amount))
        change = functional.mse_loss(marked, images) * 1000
        loss = functional.binary_cross_entropy_with_logits(logits, messages) + self.quality * change
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        accuracy = float(((logits > 0) == (messages > 0.5)).float().mean())
        if accuracy > 0.9:
            self.quality = min(2.0, self.quality + 0.005)
            self.amount = min(1.0, self.amount + 0.005)
        return float(loss.detach()), accuracy


def load_pictures(folder: Path, limit: int = 2000, size: int = SIDE) -> np.ndarray:
    """Square middles of the folder's pictures; uint8, n x ``size`` x ``size`` x 3."""
    pictures = []
    for path in iter_image_paths([folder]):
        try:
            image = read_image(path).pixels
        except CountermarkError:
            continue
        side = min(image.shape[:2])
        top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
        cut = np.ascontiguousarray(image[top : top + side, left : left + side])
        pictures.append(cv2.resize(cut, (size, size), interpolation=cv2.INTER_AREA))
        if len(pictures) == limit:
            break
    return np.array(pictures, np.uint8).reshape(-1, size, size, 3)


def as_tensor(pictures: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 255


def evaluate(encoder: Encoder, decoder: Decoder, pictures: np.ndarray, seed: int = 0) -> dict[str, float]:
    """Bit accuracy after each of ``JUDGED``, and the PSNR of marked pictures (uint8, n x H x W x 3)."""
    shape = (len(pictures), encoder.message.in_features)
    messages = torch.randint(0, 2, shape, generator=torch.Generator().manual_seed(seed)).float()
    encoder.eval(), decoder.eval()
    with torch.inference_mode():
        marked = embed(encoder, as_tensor(pictures), messages)
        done = (marked.permute(0, 2, 3, 1).numpy() * 255 + 0.5).astype(np.uint8)
        error = np.mean((done.astype(float) - pictures) ** 2)
        result = {"psnr": float(10 * np.log10(255**2 / max(error, 1e-9)))}
        for spec in JUDGED:
            handled = [perturb(spec, one, rng(seed, spec, i)) for i, one in enumerate(done)]
            logits = torch.cat([read(decoder, as_tensor(one[None])) for one in handled])
            result[spec] = float(((logits > 0) == (messages > 0.5)).float().mean())
    encoder.train(), decoder.train()
    return result


def save_weights(encoder: Encoder, decoder: Decoder, path: Path) -> None:
    parts = (("encoder", encoder), ("decoder", decoder))
    tensors = {f"{name}.{k}": v.contiguous() for name, part in parts for k, v in part.state_dict().items()}
    tensors["side"] = torch.tensor(encoder.side)
    atomic_write(path, save(tensors), overwrite=True)


def load_weights(path: Path) -> tuple[Encoder, Decoder]:
    """Both networks from a file that ``save_weights`` made.

    Raises:
        WeightsError: it is not such a file.
    """
    try:
        tensors = load_file(str(path))
        bits, side = len(tensors["decoder.bits.bias"]), int(tensors["side"])
        if not (1 <= bits <= 1024 and 16 <= side <= 1024):
            raise ValueError(f"{bits} bits at {side} pixels are out of bounds")
        encoder, decoder = Encoder(bits, side), Decoder(bits, side)
        for name, part in (("encoder.", encoder), ("decoder.", decoder)):
            part.load_state_dict({k.removeprefix(name): v for k, v in tensors.items() if k.startswith(name)})
    except Exception as error:
        raise WeightsError(f"{path} holds no learned watermark: {error}") from error
    return encoder, decoder


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Trains the learned watermark.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path("neural.safetensors"))
    parser.add_argument("--minutes", type=float, default=10, help="CPU time")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--bits", type=int, default=BITS)
    parser.add_argument("--side", type=int, default=SIDE, help="pixels at which the networks work")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    torch.manual_seed(options.seed)
    networks = (Encoder(options.bits, options.side), Decoder(options.bits, options.side))
    if options.out.exists():
        networks = load_weights(options.out)
    pictures = load_pictures(options.folder, size=networks[0].side)
    if len(pictures) < 2 * HELD_OUT:
        raise SystemExit(
            f"{options.folder} holds {len(pictures)} pictures; at least {2 * HELD_OUT} are needed."
        )
    pictures = pictures[rng(options.seed, "neural").permutation(len(pictures))]
    held, pictures = pictures[:HELD_OUT], pictures[HELD_OUT:]
    trainer = Trainer(*networks, seed=options.seed)
    random = rng(options.seed, "neural", "batches")
    end = time.process_time() + 60 * options.minutes
    count = 0
    while time.process_time() < end:
        batch = as_tensor(pictures[random.integers(len(pictures), size=options.batch)])
        loss, accuracy = trainer.step(batch)
        count += 1
        if count % 50 == 0:
            state = {"step": count, "loss": loss, "accuracy": accuracy, "quality": trainer.quality}
            print(json.dumps(state), flush=True)
    save_weights(*networks, options.out)
    print(json.dumps({"steps": count, "pictures": len(pictures), **evaluate(*networks, held)}), flush=True)


if __name__ == "__main__":
    main()
