"""The history of an image as a tree for people: who made it, from what, and what still holds.

>>> print(as_text(history_tree(verify_image("signed.png"))))        # doctest: +SKIP
signed.png · trusted · made by countermark 0.1.0, signed by default (development)
└─ photo.jpg · intact · parentOf · signed by Foreign signer
   ! The signer is not on the trust list, so anyone could have made this credential.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from countermark.core.results import ChainLink, Verification
from countermark.provenance.source_types import term_of

_MARKS = {"trusted": "✓", "intact": "~", "invalid": "✗", "absent": "·"}


@dataclass
class HistoryNode:
    """One manifest (or ingredient without one) with what it was made from.

    ``headline`` and ``details`` are sentences for people and may hold text from the file, so a
    renderer has to escape them.
    """

    label: str
    state: str
    headline: str
    details: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    children: list[HistoryNode] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """JSON types."""
        return {
            "label": self.label,
            "state": self.state,
            "headline": self.headline,
            "details": list(self.details),
            "problems": list(self.problems),
            "children": [child.as_dict() for child in self.children],
        }


def history_tree(verification: Verification) -> HistoryNode | None:
    """The chain of a verification as a tree, the image itself at the root; None without credential."""
    if not verification.chain:
        return None
    root = _node(verification.chain[0])
    root.details = (*root.details, *map(_clean, _making(verification.manifest)))
    path = [root]
    for link in verification.chain[1:]:
        node = _node(link)
        del path[max(link.depth, 1) :]
        path[-1].children.append(node)
        path.append(node)
    return root


def as_text(node: HistoryNode | None) -> str:
    """The tree as lines of text; control characters in names are shown as ``?``."""
    if node is None:
        return "no history"
    return "\n".join(_lines(node, "", ""))


def _node(link: ChainLink) -> HistoryNode:
    parts = [link.title or "untitled", link.state if link.state != "absent" else "without credential"]
    if link.relationship:
        parts.append(
            {"parentOf": "parent", "componentOf": "component", "inputTo": "input"}.get(
                link.relationship, link.relationship
            )
        )
    if link.generator:
        parts.append(f"made with {link.generator}")
    if link.signer or link.issuer:
        parts.append(f"signed by {link.signer or link.issuer}")
    if link.time:
        parts.append(f"at {link.time}")
    return HistoryNode(
        link.label,
        link.state,
        _clean(" · ".join(parts)),
        tuple(_clean(each) for each in (*map(_action, link.actions), *_further(link))),
        tuple(_clean(each.sentence) for each in link.problems),
    )


def _making(manifest: dict[str, Any] | None) -> list[str]:
    """Model and seed, as ``countermark sign`` writes them into the active manifest."""
    lines = []
    for assertion in (manifest or {}).get("assertions", [])[:100]:
        data = assertion.get("data") if isinstance(assertion, dict) else None
        if not isinstance(data, dict):
            continue
        if assertion.get("label") == "org.countermark.model" and data.get("name"):
            lines.append(f"model {data['name']}")
        if assertion.get("label") == "org.countermark.prompt" and data.get("seed") is not None:
            lines.append(f"seed {data['seed']}")
    return lines


def _further(link: ChainLink) -> list[str]:
    """Identities, AI disclosures and what the signer's certificate says of itself, in words."""
    lines = []
    for each in link.identities:
        who = each.get("name") or "somebody without a name"
        words = {"trusted": "on the trust list", "valid": "good, but on no trust list"}
        state = words.get(str(each.get("state")), f"not verified: {each.get('problem') or 'unknown kind'}")
        lines.append(f"identity {who} ({each.get('kind')}): {state}")
    for each in link.disclosures:
        facts = ", ".join(f"{key} {value}" for key, value in each.items() if isinstance(value, str))
        lines.append(f"AI disclosure: {facts}")
    level, record = (link.certificate.get(key) for key in ("assurance_level", "product_record"))
    if level or record:
        lines.append(f"signer's certificate: assurance level {level}, conforming product {record}")
    return lines


def _action(action: dict[str, Any]) -> str:
    words = str(action.get("action", "")).removeprefix("c2pa.")
    kind = action.get("digitalSourceType")
    if isinstance(kind, str):
        words += f" ({term_of(kind) or 'unknown source type'})"
    agent = action.get("softwareAgent")
    name = agent.get("name") if isinstance(agent, dict) else agent
    version = agent.get("version") if isinstance(agent, dict) else None
    if isinstance(name, str) and isinstance(version, str) and version:
        name = f"{name} {version}"
    return f"{words} by {name}" if isinstance(name, str) and name else words


def _lines(node: HistoryNode, first: str, rest: str) -> list[str]:
    lines = [f"{first}{_MARKS.get(node.state, '?')} {node.headline}"]
    trunk = "│  " if node.children else "   "
    lines += [f"{rest}{trunk}- {detail}" for detail in node.details]
    lines += [f"{rest}{trunk}! {problem}" for problem in node.problems]
    for child in node.children:
        last = child is node.children[-1]
        lines += _lines(child, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "))
    return lines


def _clean(text: str) -> str:
    return "".join(each if each.isprintable() else "?" for each in text)[:300]
