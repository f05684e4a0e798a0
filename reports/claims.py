"""What a check is evidence *towards*; never that a law is complied with.

A claim is one numbered requirement of a published text. A check names the claims it bears on, and the
report has a section for each of them with the checks and their outcomes. ``audit explain --law`` prints
the texts with their dates.

>>> CLAIMS["us-ca-sb942/22757.3.b.1.D"].source
'California Business and Professions Code 22757.3(b)(1)(D)'
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Law:
    """A published text.

    Attributes:
        title: What it is called.
        dates: When it was published and from when it asks for what it asks.
        read: Where its wording and numbering were read, by day.
    """

    title: str
    dates: str
    read: str


@dataclass(frozen=True)
class Claim:
    """One requirement: what is asked, of which text, and where in it."""

    title: str
    law: str
    source: str


#: Texts by the first part of their claims' names.
LAWS: dict[str, Law] = {
    "eu-ai-act": Law(
        "European Union: Regulation (EU) 2024/1689 (AI Act), Article 50",
        "Applies from 2 August 2026; Article 50(2) to systems that were on the market before from 2 December "
        "2026.",
        "Official Journal, OJ L, 2024/1689",
    ),
    "eu-code": Law(
        "European Union: code of practice on the transparency of AI-generated content, section 1 (marking)",
        "Published on 10 June 2026; voluntary, towards Article 50(2), with its dates.",
        "numbers as the IPTC reports them, iptc.org, 10 June 2026; the code itself was not at hand",
    ),
    "us-ca-sb942": Law(
        "California: AI Transparency Act (SB 942 of 2024, amended by AB 853 of 2025)",
        "In force since 2 August 2026; for large platforms and hosts of models from 1 January 2027, for "
        "makers of cameras from 1 January 2028. For providers with more than a million users a month.",
        "Business and Professions Code 22757 and following, codes.findlaw.com",
    ),
    "cn-labels": Law(
        "China: measures for labelling AI-generated content, with GB 45438-2025",
        "The standard was published on 28 February and the measures on 14 March 2025; both in force since "
        "1 September 2025.",
        "summaries of the measures and of the standard, sesec.eu and comparativeai.org; neither text was at "
        "hand in an official translation",
    ),
    "in-it-rules": Law(
        "India: IT (intermediary guidelines and digital media ethics code) rules, amended by G.S.R. 120(E)",
        "Notified on 10 February 2026, in force since 20 February 2026.",
        "digitalpolicyalert.org, event 37705; the gazette itself was not at hand",
    ),
    "supply-chain": Law("Countermark: what weights must be", "", "docs/detectors.md"),
}

_ACT = "Regulation (EU) 2024/1689, Article 50"
_CODE = "EU code of practice on the transparency of AI-generated content"
_CALIFORNIA = "California Business and Professions Code"
_CHINA = "China, measures for labelling AI-generated content"
_INDIA = "India, IT rules 2021 as amended 2026"

#: name -> (what is asked, where it is asked); the law is the name's first part.
_TABLE: dict[str, tuple[str, str]] = {
    "eu-ai-act/50.2/marked": ("Outputs are marked in a machine-readable format", f"{_ACT}(2)"),
    "eu-ai-act/50.2/detectable": ("Outputs are detectable as artificially generated", f"{_ACT}(2)"),
    "eu-ai-act/50.2/effective": ("The technical solution is effective", f"{_ACT}(2)"),
    "eu-ai-act/50.2/interoperable": ("The technical solution is interoperable", f"{_ACT}(2)"),
    "eu-ai-act/50.2/robust": ("The technical solution is robust", f"{_ACT}(2)"),
    "eu-ai-act/50.2/reliable": ("The technical solution is reliable", f"{_ACT}(2)"),
    "eu-code/1.1.1": (
        "Signed, time-stamped metadata says that content is generated or manipulated",
        f"{_CODE}, 1.1.1",
    ),
    "eu-code/1.1.2": ("An imperceptible watermark is in the content", f"{_CODE}, 1.1.2"),
    "eu-code/1.1.3": ("Content is found again by fingerprint or log (optional)", f"{_CODE}, 1.1.3"),
    "eu-code/1.2": ("Marks of content that was put in are kept", f"{_CODE}, 1.2"),
    "eu-code/1.3": ("Metadata says more about provenance (optional)", f"{_CODE}, 1.3"),
    "eu-code/2": ("Generated content can be detected", f"{_CODE}, commitment 2"),
    "eu-code/3/effective": ("Marking and detection are effective", f"{_CODE}, commitment 3"),
    "eu-code/3/reliable": ("Marking and detection are reliable", f"{_CODE}, commitment 3"),
    "eu-code/3/robust": ("Marking and detection are robust", f"{_CODE}, commitment 3"),
    "eu-code/3/interoperable": ("Marking and detection are interoperable", f"{_CODE}, commitment 3"),
    "us-ca-sb942/22757.2.a": ("A free tool says whether the provider made it", f"{_CALIFORNIA} 22757.2(a)"),
    "us-ca-sb942/22757.3.a": ("Users are offered a visible disclosure", f"{_CALIFORNIA} 22757.3(a)"),
    "us-ca-sb942/22757.3.b.1.A": (
        "The latent disclosure names the provider",
        f"{_CALIFORNIA} 22757.3(b)(1)(A)",
    ),
    "us-ca-sb942/22757.3.b.1.B": (
        "The latent disclosure gives name and version of the system",
        f"{_CALIFORNIA} 22757.3(b)(1)(B)",
    ),
    "us-ca-sb942/22757.3.b.1.C": (
        "The latent disclosure gives time and date",
        f"{_CALIFORNIA} 22757.3(b)(1)(C)",
    ),
    "us-ca-sb942/22757.3.b.1.D": (
        "The latent disclosure gives a unique identifier",
        f"{_CALIFORNIA} 22757.3(b)(1)(D)",
    ),
    "us-ca-sb942/22757.3.b.2": ("The provider's tool detects the disclosure", f"{_CALIFORNIA} 22757.3(b)(2)"),
    "us-ca-sb942/22757.3.b.3": (
        "The disclosure follows widely accepted standards",
        f"{_CALIFORNIA} 22757.3(b)(3)",
    ),
    "us-ca-sb942/22757.3.b.4": (
        "The disclosure is permanent or hard to remove",
        f"{_CALIFORNIA} 22757.3(b)(4)",
    ),
    "us-ca-sb942/22757.3.1": (
        "Platforms do not strip provenance data (from 2027)",
        f"{_CALIFORNIA} 22757.3.1",
    ),
    "cn-labels/4": ("Pictures carry a visible label", f"{_CHINA}, Article 4; GB 45438-2025"),
    "cn-labels/5": (
        "File metadata holds a label with property, provider and content number (AIGC)",
        f"{_CHINA}, Article 5; GB 45438-2025",
    ),
    "cn-labels/10": ("Labels are not removed", f"{_CHINA}, Article 10"),
    "in-it-rules/3.3/labelled": ("Synthetic pictures are visibly labelled", f"{_INDIA}, rule 3(3)"),
    "in-it-rules/3.3/metadata": ("Permanent metadata says where they come from", f"{_INDIA}, rule 3(3)"),
    "in-it-rules/3.3/identifier": ("The metadata holds a unique identifier", f"{_INDIA}, rule 3(3)"),
    "in-it-rules/3.3/kept": ("Label and metadata are not removed or suppressed", f"{_INDIA}, rule 3(3)"),
    "supply-chain/weights": ("Weights are what their card says and run no code", "Countermark policy"),
}

CLAIMS: dict[str, Claim] = {
    name: Claim(title, name.partition("/")[0], source) for name, (title, source) in _TABLE.items()
}

DISCLAIMER = (
    "Each section lists measurements that bear on one requirement. Whether a system complies is a "
    "legal judgement about the whole system in its use; no measurement here makes it."
)


def towards(checks: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The claims that ``checks`` bear on, in the order of ``CLAIMS``, unknown ones last."""
    named = {claim for check in checks for claim in check.get("claims", ())}
    order = [c for c in CLAIMS if c in named] + sorted(named - set(CLAIMS))
    sections = []
    for name in order:
        claim = CLAIMS.get(name, Claim(name, "", ""))
        members = [c for c in checks if name in c.get("claims", ())]
        sections.append(
            {
                "claim": name,
                "title": claim.title,
                "source": claim.source,
                "checks": [{"id": c["id"], "outcome": c["outcome"]} for c in members],
            }
        )
    return sections
