"""Expressions and words by which rules recognise what generators write; every expression is bounded.

A file can be megabytes of what nearly fits, so each looks at a window (``windows``) or cannot go back over
what it took (possessive repeats), and nothing repeats without a bound.
"""

from __future__ import annotations

import re

from countermark.provenance.metadata.windows import Windowed

VALUE = (
    r"""(?:\s*+=\s*+["']([^"']{1,300}+)["']|\s*+>\s*+([^<]{1,300}+)<|"""
    r"""[^>]{0,200}rdf:resource\s*+=\s*+["']([^"']{1,200}+)["'])"""
)
SOURCE_TYPE = Windowed("DigitalSourceType", f"DigitalSourceType{VALUE}", size=1000, flags=re.IGNORECASE)
AI_NAMES = "(AISystem(?:Version)?Used|AIPromptInformation|AIPromptWriterName)"
AI_FIELD = Windowed(
    AI_NAMES,
    rf"""{AI_NAMES}(?:\s*+=\s*+["']([^"']{{1,300}}+)["']|"""
    r"""\s*+>(?:\s*+<(?:\w{1,40}+:)?(?:Alt|Bag|Seq|li)\b[^>]{0,200}+>){0,2}+\s*+([^<]{1,300}+)<)""",
    size=2000,
    flags=re.IGNORECASE,
)
PROGRAM_FIELDS = ("CreatorTool", "Software", "AgentName", "softwareAgent")
FIELDS = r"\b(CreatorTool|Credit|Software|AgentName|softwareAgent)"
FIELD = Windowed(
    FIELDS, rf"""{FIELDS}(?:\s*+=\s*+["']([^"']{{1,300}}+)["']|\s*+>\s*+([^<]{{1,300}}+)<)""", size=1000
)
NOTHING = re.compile(
    r"\s*(?:none|no|n/?a|not applicable|null|false|0|-+|unknown|nil)?\s*\.?\s*", re.IGNORECASE
)
AIGC = Windowed("AIGC", r"""AIGC["']?\s*+[:=>]\s*+["']?\s*+\{([^}]{0,2000}+)\}""", size=2500)
LABEL = re.compile(r"""Label["'&quot;]*\s*[:=]\s*["'&quot;]*([123])""")
STEPS = Windowed(
    r"\bSteps: ?\d",
    r"Steps: ?\d{1,9}+\b.{0,2000}?\bSampler: ?\w.{0,4000}",
    size=6200,
    flags=re.DOTALL,
)
WITH_STEPS = re.compile(
    r"\b(?:CFG scale: ?[\d.]|Size: ?\d+ ?x ?\d+|Model(?: hash)?: ?\w|Denoising strength:)"
)
PAIRS = re.compile(r"\b(Steps|Sampler|CFG scale|Seed|Size|Model hash|Model|Version): ([^,\n]{1,120})")
MIDJOURNEY = re.compile(r"\bJob ID:\s*[0-9a-f-]{36}\b", re.IGNORECASE)
MIDJOURNEY_FLAGS = re.compile(r"--(?:v|ar|stylize|niji|chaos|profile)\b")
DREAM = re.compile(r"(?:^|\s)-[sSWHCA] ?\d")
XAI = re.compile(r"\s*Signature: [A-Za-z0-9+/=]{100,2000}\s*")
UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
BFL = re.compile(r"\s*AI generated;.{0,100}", re.IGNORECASE | re.DOTALL)

#: Nodes of ComfyUI and the classes that make a picture: samplers, loaders of generating models, services.
CLASS = re.compile(r'"class_type"\s*:\s*"([^"]{1,100})"')
NODE = re.compile(r'"type"\s*:\s*"([^"]{1,100})"')
GRAPH = re.compile(r'"(?:links|last_node_id|last_link_id)"\s*:')
MAKES = re.compile(
    r"sampler|checkpoint|unet|diffusion_?model|empty.{0,20}latent|controlnet|lora_?loader|"
    r"(?:flux|gpt|openai|dall.?e|gemini|imagen|ideogram|recraft|stability|stable.?diffusion|luma|kling|runway|"
    r"minimax|byte_?dance|seedream|qwen|hunyuan|nano.?banana|grok).{0,40}(?:image|generat|api|node|edit|pro|dev)",
    re.IGNORECASE,
)
EASY = frozenset(
    "num_inference_steps use_stable_diffusion_model guidance_scale sampler_name use_vae_model "
    "use_lora_model clip_skip num_outputs negative_prompt".split()
)
#: Keys of JSON that only the generator named beside them writes, wherever it stands.
JSON_KEYS = {
    "sui_image_params": "SwarmUI",
    "mflux_version": "MFLUX",
    "invokeai_metadata": "InvokeAI",
    "sd-metadata": "InvokeAI",
}
PERSONS = frozenset({"artist", "by-line", "author", "credit", "copyright", "source", "headline"})
PROSE = frozenset(
    {
        "title", "description", "imagedescription", "comment", "usercomment", "xptitle", "xpcomment",
        "parameters", "caption", "keywords", "hostcomputer", "caption writer",
    }
)  # fmt: skip
