"""What generators write into files, and how it is recognised.

Each rule looks at one kind of block and gives evidence or nothing. Unsigned metadata is never
``certain``: anyone can write it. A camera's EXIF is weak, because it is copied with one command.

Sources: IPTC Photo Metadata Standard 2025.1 (DigitalSourceType, AISystemUsed …), the metadata
formats of Stable Diffusion web UI, ComfyUI, InvokeAI, NovelAI, Fooocus, SwarmUI, Midjourney,
and GB 45438-2025 (AIGC label).
"""

from __future__ import annotations

import json
import re
from typing import Any

from countermark.core.results import Evidence, Strength
from countermark.provenance.source_types import points_to, term_of

MAX_DETAIL = 400

#: Names of generators as they appear in Software, CreatorTool, Credit and the like.
GENERATORS = re.compile(
    r"\b(midjourney|stable[ -]?diffusion|sdxl|comfyui|automatic1111|a1111|invoke ?ai|novelai|fooocus|"
    r"swarmui|dall[-·. ]?e(?: ?[23])?|gpt[- ]image|chatgpt|openai|adobe firefly|firefly image|imagen|"
    r"nano banana|gemini|made with google ai|google ai|leonardo\.ai|ideogram|black forest labs|"
    r"flux\.?[12](?:[ -](?:dev|schnell|pro))?|bing image creator|microsoft designer|nightcafe|"
    r"dreamstudio|stability\.?ai|playground ai|craiyon|deepai|artbreeder|recraft|krea|grok|aurora ai|"
    r"draw things|diffusionbee|easy diffusion|tensor\.art|civitai|seaart|countermark generate)\b",
    re.IGNORECASE,
)
_SOURCE_TYPE = re.compile(
    r"""DigitalSourceType(?:\s*=\s*["']([^"']{1,200})["']|\s*>\s*([^<]{1,200})<|"""
    r"""[^>]{0,200}rdf:resource\s*=\s*["']([^"']{1,200})["'])""",
    re.IGNORECASE,
)
_AI_SYSTEM = re.compile(
    r"""AISystem(?:Version)?Used(?:\s*=\s*["']([^"']{1,200})["']|\s*>\s*([^<]{1,200})<)""", re.IGNORECASE
)
_CREDIT = re.compile(
    r"""(CreatorTool|Credit|Software|AgentName|softwareAgent)"""
    r"""(?:\s*=\s*["']([^"']{1,300})["']|\s*>\s*([^<]{1,300})<)"""
)
_AIGC = re.compile(r"""["']?AIGC["']?\s*[:=>]\s*["']?\s*\{([^}]{0,2000})\}""")
_STEPS = re.compile(r"\bSteps:\s*\d+\b.{0,2000}?\bSampler:", re.DOTALL)
_PAIRS = re.compile(r"\b(Steps|Sampler|CFG scale|Seed|Size|Model hash|Model|Version): ([^,\n]{1,120})")
_MIDJOURNEY = re.compile(r"\bJob ID:\s*[0-9a-f-]{36}\b", re.IGNORECASE)
_MIDJOURNEY_FLAGS = re.compile(r"--(?:v|ar|stylize|niji|chaos|profile)\b")


def from_text(key: str, value: str) -> Evidence | None:
    """Evidence in one named text field (PNG text, JPEG comment, EXIF description or comment)."""
    name = key.strip().lower()
    if _STEPS.search(value[:20_000]):
        facts = {each: text.strip() for each, text in _PAIRS.findall(value[:20_000])}
        facts["prompt"] = re.split(r"\n(?:Negative prompt|Steps):", value, maxsplit=1)[0]
        return _generated("Stable Diffusion web UI or a relative", key, facts)
    if name in ("prompt", "workflow"):
        return _comfy(key, value)
    if name in ("invokeai_metadata", "invokeai_graph", "invokeai_workflow", "sd-metadata", "dream"):
        return _generated("InvokeAI", key, _json_facts(value))
    if name in ("fooocus_scheme", "sui_image_params", "generation_data", "generation-data"):
        maker = {"fooocus_scheme": "Fooocus", "sui_image_params": "SwarmUI"}.get(name, "a generation service")
        return _generated(maker, key, _json_facts(value))
    if name == "comment" and value.lstrip().startswith("{"):
        facts = _json_facts(value)
        if {"steps", "sampler"} <= facts.keys() or {"prompt", "seed"} <= facts.keys():
            return _generated("NovelAI or a relative", key, facts)
    if name in (
        "software",
        "source",
        "title",
        "make",
        "model",
        "artist",
        "hostcomputer",
        "copyright",
        "credit",
    ):
        if name == "title" and value.strip().lower() == "ai generated image":
            return _generated("NovelAI", key, {})
        return _named(key, value)
    if _MIDJOURNEY.search(value) or (name == "description" and _MIDJOURNEY_FLAGS.search(value)):
        return _generated("Midjourney", key, {"description": value})
    if name == "aigc" or _AIGC.search(value[:20_000]):
        return _aigc(key, value)
    if name in ("description", "imagedescription", "comment", "usercomment", "xpcomment", "parameters"):
        match = GENERATORS.search(value[:20_000])
        if match:
            return Evidence(
                "metadata",
                "synthetic",
                Strength.WEAK,
                f"The field {_shown(key)} mentions {match.group(0)}.",
                {"field": _shown(key), "value": _cut(value)},
            )
    return None


def from_xmp(packet: str) -> list[Evidence]:
    """Evidence in an XMP packet: digital source type, AI system used, creator tool, credit, AIGC label.

    The packet is searched with bounded patterns and never parsed as XML, so no entity is expanded.
    """
    found: list[Evidence] = []
    for match in list(_SOURCE_TYPE.finditer(packet))[:8]:
        found += _source_type(next(group for group in match.groups() if group is not None))
    for match in list(_AI_SYSTEM.finditer(packet))[:4]:
        system = next(group for group in match.groups() if group is not None).strip()
        if system:
            found.append(
                Evidence(
                    "metadata",
                    "synthetic",
                    Strength.STRONG,
                    f"IPTC metadata names an AI system: {_cut(system, 80)}.",
                    {"field": "Iptc4xmpExt:AISystemUsed", "value": _cut(system)},
                )
            )
    for match in list(_CREDIT.finditer(packet))[:8]:
        named = _named(match.group(1), match.group(2) or match.group(3) or "")
        if named is not None:
            found.append(named)
    if _AIGC.search(packet) or "TC260:AIGC" in packet:
        label = _aigc("AIGC", packet)
        if label is not None:
            found.append(label)
    return found


def from_iptc(block: str) -> Evidence | None:
    """Evidence in a Photoshop/IPTC-IIM block: a credit line that names a generator."""
    match = GENERATORS.search(block[:200_000])
    if match is None:
        return None
    return Evidence(
        "metadata",
        "synthetic",
        Strength.STRONG if "google ai" in match.group(0).lower() else Strength.WEAK,
        f"IPTC metadata mentions {match.group(0)}.",
        {"field": "IPTC-IIM", "value": match.group(0)},
    )


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


def _source_type(value: str) -> list[Evidence]:
    term = term_of(value)
    if term is None:
        return []
    direction = points_to(term)
    strength = Strength.STRONG if direction == "synthetic" else Strength.WEAK
    sentence = f"IPTC metadata gives the digital source type as {term}"
    sentence += "." if direction == "synthetic" else "; it is not signed."
    return [
        Evidence("metadata", direction, strength, sentence, {"field": "DigitalSourceType", "value": term})
    ]


def _comfy(key: str, value: str) -> Evidence | None:
    if '"class_type"' not in value[:MAX_JSON] and '"nodes"' not in value[:MAX_JSON]:
        return None
    facts: dict[str, Any] = {}
    model = re.search(r'"(?:ckpt_name|unet_name)"\s*:\s*"([^"]{1,200})"', value[:MAX_JSON])
    seed = re.search(r'"(?:seed|noise_seed)"\s*:\s*(\d{1,20})', value[:MAX_JSON])
    if model:
        facts["model"] = model.group(1)
    if seed:
        facts["seed"] = seed.group(1)
    return _generated("ComfyUI", key, facts)


def _aigc(key: str, value: str) -> Evidence | None:
    label = re.search(r"""Label["'&quot;]*\s*[:=]\s*["'&quot;]*([123])""", value[:20_000])
    if label is None:
        return None
    words = {"1": "is", "2": "may be", "3": "is suspected to be"}[label.group(1)]
    return Evidence(
        "metadata",
        "synthetic",
        Strength.STRONG if label.group(1) == "1" else Strength.WEAK,
        f"An AIGC label (GB 45438) says that the image {words} generated.",
        {"field": _shown(key), "label": label.group(1)},
    )


def _named(key: str, value: str) -> Evidence | None:
    match = GENERATORS.search(value[:2000])
    if match is None:
        return None
    return Evidence(
        "metadata",
        "synthetic",
        Strength.STRONG,
        f"The field {_shown(key)} names the generator {match.group(0)}.",
        {"field": _shown(key), "value": _cut(value)},
    )


def _generated(maker: str, key: str, facts: dict[str, Any]) -> Evidence:
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


MAX_JSON = 256 * 1024


def _json_facts(value: str) -> dict[str, Any]:
    """Plain top-level facts of a JSON object; empty for anything else."""
    try:
        content = json.loads(value[:MAX_JSON])
    except (ValueError, RecursionError):
        return {}
    if not isinstance(content, dict):
        return {}
    plain = [(str(key), text) for key, text in content.items() if isinstance(text, (str, int, float))]
    return dict(plain[:32])


def _shown(text: str) -> str:
    return _cut("".join(each if each.isprintable() else "?" for each in text), 60)


def _cut(text: str, length: int = MAX_DETAIL) -> str:
    clean = "".join(each if each.isprintable() or each == "\n" else "?" for each in text[: length + 1])
    return clean if len(clean) <= length else clean[: length - 1] + "…"
