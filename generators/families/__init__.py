"""Families of networks behind one registry: ``FAMILIES.get(name)`` gives config and builders."""

from countermark.generators.families import dcgan, fastgan, grown, residual, stylegan, tuned  # noqa: F401
from countermark.generators.families.base import FAMILIES, Family, NetworkConfig

__all__ = ["FAMILIES", "Family", "NetworkConfig"]
