"""Countermark tests images for synthetic origin and marks the ones that are generated.

>>> import countermark as cm                                   # doctest: +SKIP
>>> [result.verdict for result in cm.scan("photos/")]          # doctest: +SKIP
>>> cm.sign("made.png", "signed.png", generator="my-model/1")  # doctest: +SKIP
>>> cm.verify("signed.png").state                              # doctest: +SKIP
"""

from __future__ import annotations

import logging
import os.path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str

    from countermark.app.audit import audit
    from countermark.app.generate import generate
    from countermark.app.scan.run import scan
    from countermark.app.sign import sign
    from countermark.app.train import train
    from countermark.app.verify import verify
    from countermark.core.dataset import CorpusDataset
    from countermark.core.errors import CountermarkError

# A checkout without symbolic links has a small text file where the link to a room would be: the rooms
# are then found at the repository's top. A wheel and a checkout with links have folders here.
_HERE = os.path.dirname(os.path.abspath(__file__))
if not os.path.isdir(os.path.join(_HERE, "reports")):
    __path__.append(os.path.dirname(_HERE))

# Library code logs and never prints: without a handler of the caller's nothing is said.
logging.getLogger(__name__).addHandler(logging.NullHandler())

__all__ = [
    "CorpusDataset",
    "CountermarkError",
    "__version__",
    "audit",
    "generate",
    "scan",
    "sign",
    "train",
    "verify",
]

_IN_CORE = {"CorpusDataset": "dataset", "CountermarkError": "errors"}


def __getattr__(name: str) -> Any:
    """Imports a function when it is first asked for, so that importing the package stays fast."""
    if name == "__version__":
        from countermark.core.version import VERSION

        return VERSION
    if name not in __all__:
        raise AttributeError(f"module 'countermark' has no attribute {name!r}")
    from importlib import import_module

    if name in _IN_CORE:
        return getattr(import_module(f"countermark.core.{_IN_CORE[name]}"), name)
    home = {"audit": "audit.runner", "scan": "scan.run"}.get(name, name)
    return getattr(import_module(f"countermark.app.{home}"), name)


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext countermark``: notebooks show results as tables."""
    from countermark.app.notebook import register

    register(shell)
