"""What generators write into files, and how it is recognised.

Each rule looks at one kind of block and gives evidence or nothing. Unsigned metadata is never
``certain``: anyone can write it. It is ``strong`` where the structure is one that only a generator (or a
standard for such pictures) writes, or where a field for the making program holds a generator's name and
nothing else. A generator's name as a word in a sentence, a credit or a person's name is ``weak``, and so is
a camera's EXIF, which is copied with one command.

Sources: IPTC Photo Metadata Standard 2025.1 (DigitalSourceType, AISystemUsed, AIPromptInformation …), the
metadata formats of Stable Diffusion web UI, ComfyUI, InvokeAI, NovelAI, Fooocus, SwarmUI, Easy Diffusion,
MFLUX, Midjourney, xAI, Black Forest Labs, and GB 45438-2025 (AIGC label).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from countermark.core.results import Evidence, Strength
from countermark.provenance.metadata import patterns
from countermark.provenance.metadata.generators import (
    credited_editor,
    credited_generator,
    mentioned_generator,
    named_generator,
)
from countermark.provenance.metadata.windows import unescaped
from countermark.provenance.source_types import points_to, term_of, whole, words

MAX_DETAIL = 400
MAX_JSON = 256 * 1024
_MAX_TEXT = 20_000
_MAX_KINDS = 512


def from_text(key: str, value: str) -> Evidence | None:
    """Evidence in one named text field (PNG text, comment, EXIF or IPTC field)."""
    name, head = key.strip().lower(), value[:_MAX_TEXT]
    found = _structured(name, key, value)
    if found is not None:
        return found
    if name in ("software", "creatortool"):
        return _program(key, head)
    if name == "make":
        maker = named_generator(head.strip())
        return _names(key, maker, head) if maker else None
    line = credited_generator(head) if name in patterns.PERSONS | {"title"} else None
    if line:
        return _names(key, line, head)
    line = credited_editor(head) if name in patterns.PERSONS else None
    if line:
        return _edited(key, line, head)
    if name in patterns.PERSONS | patterns.PROSE:
        mention = mentioned_generator(head)
        if mention:
            return Evidence(
                "metadata",
                "synthetic",
                Strength.WEAK,
                f"The field {_shown(key)} mentions {_shown(mention)}: a subject, maybe, or a plain word.",
                {"field": _shown(key), "value": _cut(value)},
            )
    return None


def from_texts(texts: Sequence[tuple[str, str]]) -> list[Evidence]:
    """Evidence that takes several fields together."""
    found = []
    named = {key.strip().lower().replace(" ", "_"): value for key, value in texts}
    easy = patterns.EASY & named.keys()
    if "prompt" in named and "seed" in named and len(easy) >= 2:
        found.append(_generated("Easy Diffusion", "prompt", {name: named[name] for name in sorted(easy)}))
    signed = next(
        (named[n] for n in ("imagedescription", "usercomment") if patterns.XAI.fullmatch(named.get(n, ""))),
        "",
    )
    if signed and patterns.UUID.fullmatch(named.get("artist", "").strip()):
        found.append(
            Evidence(
                "metadata",
                "synthetic",
                Strength.STRONG,
                "EXIF holds a signature as xAI (Grok) writes it, with the picture's number as its artist.",
                {"field": "ImageDescription", "maker": "xAI"},
            )
        )
    if patterns.UUID.fullmatch(named.get("hf-job-id", "").strip()):
        found.append(
            Evidence(
                "metadata",
                "synthetic",
                Strength.WEAK,
                "The field hf-job-id names a job of a hosting service that runs generators, among others.",
                {"field": "hf-job-id", "value": named["hf-job-id"].strip()},
            )
        )
    return found


def from_xmp(packet: str) -> list[Evidence]:
    """Evidence in an XMP packet: source type, IPTC fields on AI, tool, credit, AIGC label, parameters.

    The packet is searched with bounded patterns and never parsed as XML, so no entity is expanded.
    """
    found: list[Evidence] = []
    terms = []
    for match in list(patterns.SOURCE_TYPE.finditer(packet))[:8]:
        value = next(group for group in match.groups() if group is not None)
        terms.append(term_of(value))
        found += _source_type(value)
    captured = any(term is not None and points_to(term) != "synthetic" for term in terms)
    for match in list(patterns.AI_FIELD.finditer(packet))[:8]:
        value = unescaped((match.group(2) or match.group(3) or "").strip())
        if not patterns.NOTHING.fullmatch(value):
            found.append(_ai_field(match.group(1), value, captured))
    for match in list(patterns.FIELD.finditer(packet))[:8]:
        named = from_text(match.group(1), unescaped(match.group(2) or match.group(3) or ""))
        if named is None and match.group(1) in patterns.PROGRAM_FIELDS:
            named = _program(match.group(1), unescaped(match.group(2) or match.group(3) or ""))
        if named is not None:
            found.append(named)
    if patterns.AIGC.search(packet) or "TC260:AIGC" in packet:
        label = _aigc("AIGC", packet)
        if label is not None:
            found.append(label)
    plain = unescaped(packet[:MAX_JSON])
    for structure in (_web_ui("XMP", plain), _known_json("XMP", plain)):
        if structure is not None:
            found.append(structure)
    return found


def camera(make: str, model: str) -> Evidence:
    """A camera's name in EXIF: weak, because EXIF is copied or written with one command."""
    name = model if model.lower().startswith(make.lower()) else f"{make} {model}".strip()
    return Evidence(
        "metadata",
        "captured",
        Strength.WEAK,
        f"EXIF names a camera ({_cut(name, 80)}); anyone can write that.",
        {"field": "Make/Model", "value": _cut(name)},
    )


def hidden(text: str) -> Evidence:
    """Generation parameters in the lowest bits of a picture's transparency."""
    facts = _json_facts(text)
    return _generated("a generator that hides them in the transparency (stealth_pnginfo)", "alpha", facts)


def _structured(name: str, key: str, value: str) -> Evidence | None:
    """Structures that only generators write."""
    found = _web_ui(key, value[:_MAX_TEXT]) or _known_json(key, value)
    if found is not None:
        return found
    if name in ("prompt", "workflow"):
        return _comfy(key, value)
    if name in ("invokeai_metadata", "invokeai_graph", "invokeai_workflow", "sd-metadata"):
        return _generated("InvokeAI", key, _json_facts(value)) if value.lstrip().startswith("{") else None
    if name == "dream":
        return (
            _generated("InvokeAI", key, {"dream": value})
            if patterns.DREAM.search(value[:_MAX_TEXT])
            else None
        )
    if name in ("generation_data", "generation-data") and value.lstrip().startswith("{"):
        return _generated("a generation service", key, _json_facts(value))
    if name == "fooocus_scheme":
        return _generated("Fooocus", key, {"scheme": value})
    if name in ("comment", "parameters", "usercomment") and value.lstrip().startswith("{"):
        facts = _json_facts(value)
        if str(facts.get("version", facts.get("Version", ""))).startswith("Fooocus"):
            return _generated("Fooocus", key, facts)
        if {"steps", "sampler"} <= facts.keys() or {"prompt", "seed"} <= facts.keys():
            return _generated("NovelAI or a relative", key, facts)
    if name == "source" and re.match(r"\s*NovelAI\b", value):
        return _generated("NovelAI", key, {"source": value})
    if name == "title" and value.strip().lower() == "ai generated image":
        return _generated("NovelAI", key, {})
    if name in ("software", "imagedescription") and patterns.BFL.fullmatch(value[:200]):
        return _generated("Black Forest Labs", key, {"software": value})
    if patterns.MIDJOURNEY.search(value[:_MAX_TEXT]) or (
        name == "description" and patterns.MIDJOURNEY_FLAGS.search(value[:_MAX_TEXT])
    ):
        return _generated("Midjourney", key, {"description": value})
    if name == "aigc" or patterns.AIGC.search(value[:_MAX_TEXT]):
        return _aigc(key, value)
    return None


def _web_ui(key: str, value: str) -> Evidence | None:
    """ "Steps: …, Sampler: …" and at least one more setting that goes with them, as web UIs write it."""
    match = patterns.STEPS.search(value)
    if match is None or not patterns.WITH_STEPS.search(match.group(0)):
        return None
    facts = {each: text.strip() for each, text in patterns.PAIRS.findall(value)}
    facts["prompt"] = re.split(r"\n(?:Negative prompt|Steps):", value, maxsplit=1)[0]
    return _generated("Stable Diffusion web UI or a relative", key, facts)


def _known_json(key: str, value: str) -> Evidence | None:
    start = value.find("{")
    if start < 0:
        return None
    for name, maker in patterns.JSON_KEYS.items():
        if re.search(rf'"{name}"\s*:', value[start : start + MAX_JSON]):
            return _generated(maker, key, _json_facts(value[start:]))
    return None


def _comfy(key: str, value: str) -> Evidence | None:
    """A graph of ComfyUI: strong when something in it makes pictures, weak when photographs go through it."""
    text = value[:MAX_JSON]
    kinds = _distinct(patterns.CLASS, text)
    if not kinds and '"nodes"' in text and patterns.GRAPH.search(text):
        kinds = _distinct(patterns.NODE, text)
    if not kinds:
        return None
    if not any(patterns.MAKES.search(kind) and "upscalemodel" not in kind.lower() for kind in kinds):
        return Evidence(
            "metadata",
            "neither",
            Strength.WEAK,
            f"The field {_shown(key)} holds a workflow of ComfyUI without a sampler or a generating model: "
            "the picture was edited with it, not made.",
            {"field": _shown(key), "maker": "ComfyUI", "nodes": [_shown(kind) for kind in kinds[:16]]},
        )
    facts: dict[str, Any] = {}
    model = re.search(r'"(?:ckpt_name|unet_name)"\s*:\s*"([^"]{1,200})"', text)
    seed = re.search(r'"(?:seed|noise_seed)"\s*:\s*(\d{1,20})', text)
    if model:
        facts["model"] = model.group(1)
    if seed:
        facts["seed"] = seed.group(1)
    return _generated("ComfyUI", key, facts)


def _distinct(pattern: re.Pattern[str], text: str) -> list[str]:
    return list(dict.fromkeys(pattern.findall(text)))[:_MAX_KINDS]


def _source_type(value: str) -> list[Evidence]:
    term = term_of(value)
    if term is None:
        return []
    direction = points_to(term)
    strength = Strength.STRONG if direction == "synthetic" else Strength.WEAK
    sentence = f"IPTC metadata declares the picture as {words(term)} ({term})"
    sentence += "." if direction == "synthetic" else "; it is not signed."
    detail = {"field": "DigitalSourceType", "value": term, "whole": whole(term)}
    return [Evidence("metadata", direction, strength, sentence, detail)]


_AI_WORDS = {
    "systemversion": "the version of an AI system",
    "system": "an AI system",
    "information": "a prompt",
}


def _ai_field(name: str, value: str, captured: bool) -> Evidence:
    """IPTC 2025.1: each of these fields is for what was used "to generate this image"."""
    what = next((words for key, words in _AI_WORDS.items() if key in name.lower()), "the writer of a prompt")
    sentence = f"IPTC metadata names {what}: {_cut(value, 80)}."
    if captured:
        sentence = f"{sentence[:-1]}, though it declares another origin."
    return Evidence(
        "metadata",
        "synthetic",
        Strength.WEAK if captured else Strength.STRONG,
        _one_line(sentence),
        {"field": f"Iptc4xmpExt:{name}", "value": _cut(value)},
    )


def _aigc(key: str, value: str) -> Evidence | None:
    label = patterns.LABEL.search(value[:_MAX_TEXT])
    if label is None:
        return None
    said = {"1": "is", "2": "may be", "3": "is suspected to be"}[label.group(1)]
    return Evidence(
        "metadata",
        "synthetic",
        Strength.STRONG if label.group(1) == "1" else Strength.WEAK,
        f"An AIGC label (GB 45438) says that the image {said} generated.",
        {"field": _shown(key), "label": label.group(1)},
    )


def _program(key: str, value: str) -> Evidence | None:
    """The program that made the file: strong when it is a generator's name and nothing else."""
    maker = named_generator(value) or credited_generator(value)
    if maker:
        return _names(key, maker, value)
    editor = credited_editor(value)
    if editor:
        return _edited(key, editor, value)
    mention = mentioned_generator(value)
    if mention is None:
        return None
    return Evidence(
        "metadata",
        "synthetic",
        Strength.WEAK,
        f"The field {_shown(key)} mentions {_shown(mention)} among other words.",
        {"field": _shown(key), "value": _cut(value)},
    )


def _names(key: str, maker: str, value: str) -> Evidence:
    return Evidence(
        "metadata",
        "synthetic",
        Strength.STRONG,
        f"The field {_shown(key)} names the generator {_shown(maker)}.",
        {"field": _shown(key), "value": _cut(value)},
    )


def _edited(key: str, line: str, value: str) -> Evidence:
    return Evidence(
        "metadata",
        "synthetic",
        Strength.STRONG,
        f"The field {_shown(key)} says {_shown(line)!r}: edited with AI, not made by it.",
        {"field": _shown(key), "value": _cut(value), "whole": False},
    )


def _generated(maker: str, key: str, facts: Mapping[str, Any]) -> Evidence:
    return Evidence(
        "metadata",
        "synthetic",
        Strength.STRONG,
        f"The field {_shown(key)} holds generation parameters of {maker}.",
        {
            "field": _shown(key),
            "maker": maker,
            **{_shown(name): _cut(str(text)) for name, text in facts.items()},
        },
    )


def _json_facts(value: str) -> dict[str, Any]:
    """Plain top-level facts of a JSON object; empty for anything else."""
    try:
        content = json.loads(value[:MAX_JSON])
    except (ValueError, RecursionError):
        return {}
    if not isinstance(content, dict):
        return {}
    if isinstance(content.get("sui_image_params"), dict):
        content = content["sui_image_params"]
    plain = [(str(key), text) for key, text in content.items() if isinstance(text, (str, int, float))]
    return dict(plain[:32])


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _shown(text: str) -> str:
    return _cut("".join(each if each.isprintable() else "?" for each in text), 60)


def _cut(text: str, length: int = MAX_DETAIL) -> str:
    clean = "".join(each if each.isprintable() or each == "\n" else "?" for each in text[: length + 1])
    return clean if len(clean) <= length else clean[: length - 1] + "…"
