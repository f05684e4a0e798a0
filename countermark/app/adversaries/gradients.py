"""A differentiable view of the shipped detector families, for attacks that need gradients.

Images are float [N, 3, S, S] in [0, 1]; at the side S of a family's view all its crops are the same
picture, so the logit computed here is the logit that ``Detector.logits`` gives for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from countermark.core.errors import CountermarkError

if TYPE_CHECKING:
    from torch import Tensor

Logits = Callable[["Tensor"], "Tensor"]


def differentiable(detector: Any) -> tuple[int, Logits]:
    """The side of the view and a function from images to logits float [N].

    Raises:
        CountermarkError: ``audit.no-gradient`` for a detector without a known network.
    """
    network = getattr(detector, "network", None)
    if network is not None and hasattr(network, "trunk") and hasattr(network.trunk, "tokens"):
        return 224, _probe(network)
    if network is not None and hasattr(network, "model") and hasattr(network, "side"):
        return int(network.side), lambda x: network.model(x * 2 - 1).float().mean(dim=(1, 2, 3))
    raise CountermarkError(
        "Gradients of this detector are not known.",
        code="audit.no-gradient",
        hint="Use detector.square, which needs scores only.",
    )


def _probe(network: Any) -> Logits:
    def logits(x: Tensor) -> Tensor:
        parts = network.trunk(x * 255, network.blocks)[:, :, network.pools]
        return (parts * network.weight.sum(dim=0)).sum(dim=(1, 2, 3)) + network.bias

    return logits
