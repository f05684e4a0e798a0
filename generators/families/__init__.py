"""Families of networks that start from noise, by name; each is imported when it is asked for.

>>> FAMILIES.get("dcgan").parse({"size": 32}).size
32
"""

from countermark.core.registry import Registry
from countermark.generators.families.base import GanFamily, NetworkConfig

__all__ = ["FAMILIES", "GanFamily", "NetworkConfig"]

FAMILIES: Registry[GanFamily] = Registry("generator family")
FAMILIES.place("dcgan", "countermark.generators.families.dcgan:FAMILY")
FAMILIES.place("fastgan", "countermark.generators.families.fastgan:FAMILY")
FAMILIES.place("grown", "countermark.generators.families.grown:FAMILY")
FAMILIES.place("latent", "countermark.generators.families.latent:FAMILY")
FAMILIES.place("r3gan", "countermark.generators.families.residual:R3GAN")
FAMILIES.place("stylegan-lite", "countermark.generators.families.stylegan:FAMILY")
FAMILIES.place("tuned", "countermark.generators.families.tuned:FAMILY")
FAMILIES.place("wgan-gp", "countermark.generators.families.residual:WGAN")
