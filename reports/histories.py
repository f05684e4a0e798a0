"""A credential's history as a tree that reports show: who did what to which picture.

>>> link = {"label": "urn:c2pa:1", "depth": 0, "actions": [{"action": "c2pa.created"}], "title": "a.png"}
>>> tree({"path": "a.png", "chain": [link]}, {}).actions
['created']
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from countermark.reports.text import visible
from countermark.reports.thumbnails import Thumbnail

MAX_LINKS, MAX_ACTIONS = 200, 40


@dataclass
class Step:
    """One picture of a history, and those that it was made from."""

    link: Mapping[str, Any]
    actions: list[str]
    image: Thumbnail | None
    children: list[Step] = field(default_factory=list)


def tree(row: Mapping[str, Any], images: Mapping[str, Thumbnail]) -> Step | None:
    """The history of a row of a verification's document, the picture itself at the root.

    Args:
        images: Thumbnails; one of a step is found under ``PATH#LABEL``.
    """
    root: Step | None = None
    line: list[Step] = []
    for link in row["chain"][:MAX_LINKS]:
        actions = [_action(each) for each in link.get("actions", [])[:MAX_ACTIONS]]
        step = Step(link, actions, images.get(f"{row['path']}#{link['label']}"))
        if root is None:
            root = step
        else:
            del line[max(int(link.get("depth") or 0), 1) :]
            line[-1].children.append(step)
        line.append(step)
    return root


def _action(action: Mapping[str, Any]) -> str:
    """``created: trained algorithmic media, my-model 1.2``."""
    name = str(action.get("action", "")).removeprefix("c2pa.").replace("_", " ").replace(".", ", ")
    facts = []
    kind = action.get("digitalSourceType")
    if isinstance(kind, str):
        term = kind.rsplit("/", 1)[-1]
        facts.append("".join(f" {letter.lower()}" if letter.isupper() else letter for letter in term).strip())
    agent = action.get("softwareAgent")
    if isinstance(agent, Mapping):
        facts.append(" ".join(str(agent[key]) for key in ("name", "version") if agent.get(key)))
    elif isinstance(agent, str):
        facts.append(agent)
    if isinstance(action.get("when"), str):
        facts.append(action["when"])
    return visible(name + (": " + ", ".join(filter(None, facts)) if facts else ""), 300)
