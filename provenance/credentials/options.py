"""The options of signing, typed once, for every function that hands them on.

``FurtherOptions`` are those that ``countermark.sign`` only passes through; ``SignOptions`` are all
that ``sign_bytes`` takes besides the image, the identity and how it is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from countermark.core.arguments import refuse_unknown

if TYPE_CHECKING:
    from countermark.provenance.credentials.ingredients import Ingredient, Source
    from countermark.provenance.credentials.softbinding import SoftBinding
    from countermark.provenance.identities.identity import Identity


class FurtherOptions(TypedDict, total=False):
    """See ``sign_bytes`` and ``Claim`` for each."""

    title: str | None
    sidecar: bool
    keep_history: bool
    thumbnail: int
    timestamp_url: str | None
    remote_url: str | None
    parameters: Mapping[str, Any] | None
    actions: Sequence[str | Mapping[str, Any]]
    training: str | None
    assertions: Sequence[Mapping[str, Any]]
    disclosure: bool | Mapping[str, Any]
    identity_assertion: str | Identity | None
    when: str | None


class SignOptions(FurtherOptions, total=False):
    """See ``sign_bytes`` and ``Claim`` for each."""

    generator: str | None
    digital_source_type: str | None
    model: str | Mapping[str, Any] | None
    seed: int | str | None
    prompt: str | None
    parents: Sequence[Source | Ingredient]
    soft_bindings: Sequence[SoftBinding]


FURTHER = FurtherOptions.__optional_keys__
SIGNING = SignOptions.__optional_keys__


def check_options(function: str, options: Mapping[str, Any], *more: str, known: frozenset[str]) -> None:
    """Refuses options that are neither in ``known`` nor among ``more`` (TypeError)."""
    refuse_unknown(function, options, known | frozenset(more))
