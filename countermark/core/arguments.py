"""Keyword arguments that are handed on: a wrong name is refused before anything is done.

>>> refuse_unknown("sign", {"sead": 7}, ["seed", "prompt"])
Traceback (most recent call last):
TypeError: sign() got an unexpected keyword argument 'sead'. Did you mean 'seed'?
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def refuse_unknown(function: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raises TypeError, as Python itself would, when ``given`` holds a name that is not in ``known``."""
    names = sorted(known)
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(names)}."
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}.{hint}")
