"""From records to what a template shows; and the templates themselves, one environment a language."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from countermark.app.service.page import words
from countermark.app.service.page.catalogues import languages
from countermark.app.service.page.catalogues import translations as translations
from countermark.app.service.page.desk import Entry
from countermark.app.service.page.examine import Look, chances
from countermark.core.results import ChainLink, Evidence, Strength, Verdict
from countermark.core.version import VERSION
from countermark.provenance.source_types import term_of
from countermark.reports.canonical import plain
from countermark.reports.listing import boxes
from countermark.reports.text import visible
from countermark.reports.timelines import clock, timeline_chart

RANK = {Strength.CERTAIN: 0, Strength.STRONG: 1, Strength.WEAK: 2}
#: Names of the languages in themselves.
LANGUAGE_NAMES = {"en": "English", "de": "Deutsch"}


@cache
def environment(language: str) -> Environment:
    """The templates in one language."""
    made = Environment(
        loader=PackageLoader("countermark.app.service.page", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    made.install_gettext_translations(translations(language), newstyle=True)  # type: ignore[attr-defined]
    made.filters.update(v=visible, score=score, percent=percent, bytes=size_of, moment=moment, clock=clock)
    made.globals.update(
        language=language,
        languages=[(code, LANGUAGE_NAMES.get(code, code)) for code in languages()],
        version=VERSION,
        words=words,
        t=translations(language).gettext,
    )
    return made


def render(template: str, language: str, **values: Any) -> str:
    """One page."""
    return environment(language).get_template(template).render(**values)


@cache
def static(name: str) -> bytes:
    """A file of the page's own; FileNotFoundError for anything else."""
    if name not in ("page.css", "page.js", "icon.svg"):
        raise FileNotFoundError(name)
    return resources.files(__package__).joinpath("static", name).read_bytes()


@cache
def stamp(name: str) -> str:
    """Changes with a file's content, for its address."""
    return hashlib.sha256(static(name)).hexdigest()[:12]


def standalone(entry: Entry, language: str) -> str:
    """The result as one HTML file that loads nothing and holds no script."""
    style = static("page.css").decode()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    assert entry.look is not None
    pictures = entry.look.pictures

    def source(name: str) -> str:
        data = pictures[name]
        kind = "png" if data.startswith(b"\x89PNG") else "jpeg"
        return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"

    return render(
        "result-file.html.j2",
        language,
        policy=policy,
        style=Markup(style),  # the package's own file
        made=moment(datetime.now(UTC)),
        **result_view(entry, language, source),
    )


@dataclass
class Node:
    """One step of a picture's history."""

    link: ChainLink
    state: str
    relation: str
    picture: str | None
    actions: list[tuple[str, str]]
    problems: list[str]
    children: list[Node] = field(default_factory=list)


def result_view(entry: Entry, language: str, source: Callable[[str], str]) -> dict[str, Any]:
    """Everything that the template of a result shows.

    Args:
        source: Gives the address of one of the look's pictures.
    """
    look = entry.look
    assert look is not None
    t = translations(language).gettext
    result = look.result
    row = plain(result)
    scores = {moment.time: moment.score for moment in result.clip.timeline} if result.clip else {}
    answer = words.answer(result, look.verification)
    verdict = result.verdict.value if result.verdict else "error"
    return {
        "entry": entry,
        "look": look,
        "result": result,
        "verdict": verdict,
        "verdict_name": t(words.VERDICTS[verdict]),
        "headline": t(answer.headline),
        "why": t(answer.why),
        "next_steps": [t(step) for step in answer.next],
        "remarks": [t(remark) for remark in words.remarks(result, look.verification)],
        "source": source,
        "evidence": [_evidence(e, t, language) for e in _ranked(result.evidence, verdict)],
        "tree": tree(look, t),
        "state": look.verification.state.value if look.verification else None,
        "points": _points(look, t),
        "chances": chances(result.score) if result.score is not None else [],
        "deliveries": _deliveries(look, t),
        "marks": _marks(look, t),
        "boxes": boxes(row) if look.width and look.height else [],
        "timeline": timeline_chart(row),
        "frames": [(name, time, scores.get(time)) for name, time in look.frames],
    }


def _ranked(evidence: Iterable[Evidence], verdict: str) -> list[Evidence]:
    """Strongest first; of equals, what speaks for the verdict first."""
    side = "captured" if verdict == "declared-captured" else "synthetic"
    return sorted(evidence, key=lambda e: (RANK[e.strength], e.points_to != side))


def _evidence(evidence: Evidence, t: words.Translate, language: str) -> dict[str, Any]:
    # In English the library's own sentence does, but for one that only numbers speak in.
    lead = words.lead(evidence) if language != "en" or evidence.kind == "stress" else None
    return {
        "kind": t(words.KINDS.get(evidence.kind, evidence.kind)),
        "strength": evidence.strength.value,
        "strength_name": t(words.STRENGTHS[evidence.strength.value]),
        "points_to": evidence.points_to,
        "lead": t(lead) if lead else None,
        "sentence": evidence.sentence,
        "detail": evidence.detail,
    }


def tree(look: Look, t: words.Translate) -> Node | None:
    """The history as a tree, the picture itself at the root; None without a credential."""
    verification = look.verification
    if verification is None or not verification.chain:
        return None
    root: Node | None = None
    path: list[Node] = []
    for link in verification.chain:
        node = Node(
            link=link,
            state=link.state,
            relation=t(words.RELATIONS.get(link.relationship, link.relationship))
            if link.relationship
            else "",
            picture=look.thumbnails.get(link.label),
            actions=[_action(action, t) for action in link.actions[:50]],
            problems=[problem.sentence for problem in link.problems],
        )
        if root is None:
            root = node
        else:
            del path[max(link.depth, 1) :]
            path[-1].children.append(node)
        path.append(node)
    return root


def _relation(name: str | None, t: words.Translate) -> str:
    return "" if not name else t(words.RELATIONS[name]) if name in words.RELATIONS else visible(name, 40)


def _action(action: Mapping[str, Any], t: words.Translate) -> tuple[str, str]:
    """What was done, and how and when and with what."""
    code = str(action.get("action", ""))
    name = t(words.ACTIONS[code]) if code in words.ACTIONS else code
    facts = []
    kind = action.get("digitalSourceType")
    if isinstance(kind, str):
        term = term_of(kind)
        facts.append(t(words.SOURCE_TYPES[term]) if term and term in words.SOURCE_TYPES else (term or kind))
    agent = action.get("softwareAgent")
    if isinstance(agent, Mapping):
        facts.append(" ".join(str(agent[key]) for key in ("name", "version") if agent.get(key)))
    elif isinstance(agent, str):
        facts.append(agent)
    if isinstance(action.get("when"), str):
        facts.append(moment(action["when"]))
    return visible(name, 80), visible(" · ".join(each for each in facts if each), 300)


def _points(look: Look, t: words.Translate) -> list[dict[str, Any]]:
    if look.result.score is None:
        return []
    rows = []
    for point in look.points:
        verdict = point.verdict(look.result.score)
        rows.append(
            {
                "name": t(words.POINTS[point.name]),
                "rate": point.max_fpr,
                "likely": point.likely,
                "unsure": point.unsure,
                "verdict": verdict,
                "verdict_name": t(words.VERDICTS[verdict]),
                "note": point.note,
                "found": point.found.get("native"),
            }
        )
    return rows


def _deliveries(look: Look, t: words.Translate) -> list[dict[str, Any]]:
    """The score of the picture as received and in every delivery that was tried."""
    found = next((e for e in look.result.evidence if e.kind == "stress"), None)
    if found is None or look.result.score is None:
        return []
    scores = {"native": look.result.score, **found.detail.get("scores", {})}
    bounds = look.result.thresholds
    rows = []
    for name, value in scores.items():
        if value is None:
            continue
        verdict = Verdict.NO_EVIDENCE
        if value >= bounds["likely"]:
            verdict = Verdict.LIKELY_SYNTHETIC
        elif value >= bounds["unsure"]:
            verdict = Verdict.UNSURE
        rows.append(
            {
                "name": t(words.DELIVERIES.get(name, name)),
                "score": float(value),
                "verdict": verdict.value,
                "verdict_name": t(words.VERDICTS[verdict.value]),
            }
        )
    return rows


def _marks(look: Look, t: words.Translate) -> list[tuple[str, str]]:
    """Marks that were found, each with its identifier or name."""
    rows = []
    for evidence in look.result.evidence:
        if evidence.kind == "mark" and evidence.points_to == "synthetic":
            own = evidence.detail.get("payload")
            name = "Countermark" if own else str(evidence.detail.get("name", ""))
            rows.append((visible(name, 80), visible(own or "", 80)))
    return rows


def score(value: float | None) -> str:
    """A score in [0, 1] with two digits, never rounded up to 1 or down to 0."""
    return "–" if value is None else f"{min(max(value, 0.01), 0.99):.2f}"


def percent(value: float) -> str:
    """A share for people: whole per cent, with a digit where it is small; never 0 or 100."""
    shown = min(max(100 * value, 0.01), 99.9)
    digits = 0 if 1 <= shown < 99 else 1 if shown >= 0.1 else 2
    return f"{shown:.{digits}f} %"


def size_of(count: int) -> str:
    """Bytes for people.

    >>> size_of(2_500_000), size_of(33_554_432)
    ('2.5 MB', '33 MB')
    """
    if count < 1000:
        return f"{count} B"
    if count < 1_000_000:
        return f"{count // 1000} kB"
    return f"{count / 1_000_000:.1f} MB" if count < 10_000_000 else f"{count // 1_000_000} MB"


def moment(value: datetime | str) -> str:
    """A time as date, hours and minutes, UTC; what is no time stays as it is."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError:
            return visible(value, 60)
    if value.tzinfo is not None:
        value = value.astimezone(UTC)
    return f"{value:%Y-%m-%d %H:%M} UTC"
