"""What a check is evidence *towards*; never that a law is complied with.

Claims name a requirement of a published text. A check lists the claims it bears on, and the report
has a section for each of them with the checks and their outcomes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_ACT = "Regulation (EU) 2024/1689, Article 50"

#: Claim -> (what is asked, where it is asked).
CLAIMS: dict[str, tuple[str, str]] = {
    "eu-ai-act/50.2/marked": ("Outputs are marked in a machine-readable format", f"{_ACT}(2)"),
    "eu-ai-act/50.2/detectable": ("Outputs are detectable as artificially generated", f"{_ACT}(2)"),
    "eu-ai-act/50.2/effective": ("The technical solution is effective", f"{_ACT}(2)"),
    "eu-ai-act/50.2/interoperable": ("The technical solution is interoperable", f"{_ACT}(2)"),
    "eu-ai-act/50.2/robust": ("The technical solution is robust", f"{_ACT}(2)"),
    "eu-ai-act/50.2/reliable": ("The technical solution is reliable", f"{_ACT}(2)"),
    "supply-chain/weights": ("Weights are what their card says and run no code", "Countermark policy"),
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
    for claim in order:
        title, source = CLAIMS.get(claim, (claim, ""))
        members = [c for c in checks if claim in c.get("claims", ())]
        sections.append(
            {
                "claim": claim,
                "title": title,
                "source": source,
                "checks": [{"id": c["id"], "outcome": c["outcome"]} for c in members],
            }
        )
    return sections
