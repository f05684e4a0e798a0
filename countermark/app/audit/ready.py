"""Policies that are asked for so often that they need no file.

>>> kept_policy("made", "exported").checks[0].id
'pipeline.kept'
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from countermark.app.audit.checks.kept import MARKS, Mark, Pair
from countermark.app.audit.schema import Evidence, Policy, Subject
from countermark.core.errors import UnknownNameError, known_names


def kept_policy(
    before: Path | str, after: Path | str, *, at_least: float = 0.9, marks: Sequence[str] = ()
) -> Policy:
    """Which marks an export keeps: the files of ``before`` against those of the same names in ``after``.

    Args:
        before: The folder that went in.
        after: The folder that came out.
        at_least: Share of the files that must keep each mark, in [0, 1].
        marks: Those that are looked at, see ``kept.Pair``; empty for all.

    Raises:
        UnknownNameError: no such mark.
    """
    for each in marks:
        if each not in MARKS:
            raise UnknownNameError(f"There is no mark {each!r}.", hint=known_names(each, MARKS))
    check = Pair(
        id="pipeline.kept",
        evidence="after",
        before="before",
        at_least=at_least,
        marks=cast(tuple[Mark, ...], tuple(marks)) or MARKS,
    )
    return Policy(
        name="Marks that an export keeps",
        subject=Subject(kind="pipeline", name=Path(after).name or "export"),
        evidence={
            "before": Evidence(folder=str(Path(before).absolute())),
            "after": Evidence(folder=str(Path(after).absolute())),
        },
        checks=(check,),
    )
