"""A clip through time, as inline SVG: scores of its frames, marks, faces; and the frames with the highest.

Numbers come from documents, text is escaped by ``Markup.format``; colours come from the style sheet.

>>> clock(83.25)
'1:23.2'
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from countermark.reports.text import figure, visible
from countermark.reports.thumbnails import Thumbnail

WIDTH, HEIGHT, LEFT = 640, 120, 34
ROW = 12
#: Faces that get a line of their own, the longest first.
MOST_FACES = 6
MAX_POINTS = 4000
_BLOCKS = "▁▂▃▄▅▆▇█"

_CHART = Markup(
    '<svg class="timeline" viewBox="0 0 {width} {height}" role="img" aria-label="{label}">'
    '<rect class="frame" x="{left}" y="6" width="{wide}" height="{high}"/>{body}</svg>'
)
_LIMIT = Markup(
    '<line class="limit" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>'
    '<text class="tick" x="{right}" y="{text}" text-anchor="end">{name}</text>'
)
_POINT = Markup('<circle class="dot {kind}" cx="{x}" cy="{y}" r="{r}"><title>{label}</title></circle>')
_SPAN = Markup(
    '<text class="tick" x="0" y="{text}">{name}</text>'
    '<rect class="span {kind}" x="{x}" y="{y}" width="{width}" height="8" rx="2">'
    "<title>{label}</title></rect>"
)
_TICK = Markup('<text class="tick" x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>')


def clock(seconds: float) -> str:
    """A time in a clip, for people: minutes, seconds and tenths, with hours where there are some."""
    whole, tenth = divmod(int(float(seconds) * 10 + 1e-6), 10)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}.{tenth}" if hours else f"{minutes}:{rest:02d}.{tenth}"


def timeline_chart(row: Mapping[str, Any]) -> Markup:
    """The timeline of a scanned clip (a row of ``countermark.scan/1``); empty for pictures."""
    clip = row.get("clip")
    if not clip:
        return Markup("")
    moments = clip["timeline"][:MAX_POINTS]
    end = max(float(clip["seconds"]), *(float(m["time"]) for m in moments), 1e-3) if moments else 1.0
    thresholds = {k: float(v) for k, v in sorted(dict(row.get("thresholds") or {}).items()) if v is not None}
    right = WIDTH - 6

    def place(time: float) -> float:
        return round(LEFT + (right - LEFT) * min(max(float(time) / end, 0.0), 1.0), 2)

    body = [
        _LIMIT.format(
            left=LEFT, right=right, y=_height(v), text=_height(v) - 2, name=f"{visible(k, 20)} {figure(v)}"
        )
        for k, v in thresholds.items()
    ]
    scored = [m for m in moments if m["score"] is not None]
    if len(scored) > 1:
        line = " ".join(f"{place(m['time'])},{_height(m['score'])}" for m in scored)
        body.append(Markup('<polyline class="curve" points="{points}"/>').format(points=line))
    likely = thresholds.get("likely", 2.0)
    for m in scored:
        kind = "high" if m["score"] >= likely else "scene" if m["scene"] else "plain"
        said = f"{clock(m['time'])}: {figure(m['score'])}" + (", after a scene change" if m["scene"] else "")
        body.append(_POINT.format(kind=kind, x=place(m["time"]), y=_height(m["score"]), r=3, label=said))
    lines = _spans(row)
    for number, (kind, name, start, stop, looks) in enumerate(lines):
        y = HEIGHT + 2 + ROW * number
        wide = round(max(place(stop) - place(start), 4), 2)
        said = f"{name}, {clock(start)} to {clock(stop)}"
        body.append(
            _SPAN.format(kind=kind, name=name, text=y + 8, x=place(start), y=y, width=wide, label=said)
        )
        body += [
            _POINT.format(
                kind=look, x=place(time), y=y + 4, r=2.5, label=f"{name}, {clock(time)}: {figure(score)}"
            )
            for look, time, score in looks
        ]
    foot = HEIGHT + 4 + ROW * len(lines) + 10
    body.append(_TICK.format(x=LEFT, y=foot, anchor="start", text="0:00"))
    body.append(_TICK.format(x=right, y=foot, anchor="end", text=clock(end)))
    return _CHART.format(
        width=WIDTH,
        height=foot + 4,
        left=LEFT,
        wide=right - LEFT,
        high=HEIGHT - 12,
        label=f"Scores of {len(scored)} frames over {clock(end)}",
        body=Markup("").join(body),
    )


def sparkline(row: Mapping[str, Any], width: int = 32) -> str:
    """The scores of a clip as a line of blocks, highest of each stretch; empty for pictures."""
    clip = row.get("clip")
    if not clip:
        return ""
    scores = [m["score"] for m in clip["timeline"] if m["score"] is not None]
    if len(scores) < 2:
        return ""
    groups = min(width, len(scores))
    highest = [
        max(scores[n * len(scores) // groups : (n + 1) * len(scores) // groups]) for n in range(groups)
    ]
    blocks = "".join(_BLOCKS[min(int(score * len(_BLOCKS)), len(_BLOCKS) - 1)] for score in highest)
    return f"0:00 {blocks} {clock(clip['seconds'])}"


def strongest_frames(row: Mapping[str, Any], images: Mapping[str, Thumbnail]) -> list[tuple[str, Thumbnail]]:
    """What stands under the frames with the highest scores, and their pictures."""
    clip = row.get("clip")
    if not clip:
        return []
    scores = {m["time"]: m["score"] for m in clip["timeline"]}
    found = []
    for time in clip["strongest"]:
        image = images.get(f"{row['path']}#t={float(time):g}")
        if image is not None:
            found.append((f"{clock(time)} · {figure(scores.get(time))}", image))
    return found


#: Of a judged face: kind of its dot, time and score.
_Look = tuple[str, float, float]


def _spans(row: Mapping[str, Any]) -> list[tuple[str, str, float, float, list[_Look]]]:
    """Kind, name, begin and end of what is drawn under the scores, and the looks at judged faces."""
    clip = row["clip"]
    parts: Sequence[Mapping[str, Any]] = clip["parts"][:8]
    found: list[tuple[str, str, float, float, list[_Look]]] = [
        ("mark", "Mark", p["start"], p["end"], [])
        if p["what"] == "mark"
        else ("high", "Part", p["start"], p["end"], [])
        for p in parts
    ]
    threshold = _face_threshold(row)
    looks: dict[int, list[_Look]] = {}
    for moment in clip["timeline"][:MAX_POINTS]:
        for face in moment["faces"]:
            if (score := face.get("put_in")) is not None:
                kind = "put-in" if score >= threshold else "look"
                looks.setdefault(face["track"], []).append((kind, moment["time"], score))
    # Those that stand out come first, then the longest: a report has room for some lines only.
    faces = sorted(clip["faces"], key=lambda f: (f.get("put_in") or 0.0) < threshold)[:MOST_FACES]
    for f in faces:
        kind = "high" if (f.get("put_in") or 0.0) >= threshold else "face"
        found.append((kind, f"Face {f['track']}", f["start"], f["end"], looks.get(f["track"], [])))
    return found


def _face_threshold(row: Mapping[str, Any]) -> float:
    """The score from which a face counts as put in; beyond all scores where none was judged."""
    for evidence in row.get("evidence") or ():
        if evidence["kind"] == "face" and "threshold" in evidence["detail"]:
            return float(evidence["detail"]["threshold"])
    return 2.0


def _height(score: float) -> float:
    return round(HEIGHT - 6 - (HEIGHT - 12) * min(max(float(score), 0.0), 1.0), 2)
