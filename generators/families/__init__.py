"""Families of networks behind one registry: ``FAMILIES.get(name)`` gives config and builders."""

from countermark.generators.families import dcgan  # noqa: F401  (importing registers)
from countermark.generators.families.base import FAMILIES, Family, NetworkConfig

__all__ = ["FAMILIES", "Family", "NetworkConfig"]
