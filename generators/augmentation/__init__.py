"""Filling up small classes with generated images, and measuring whether that helped."""

from countermark.generators.augmentation.benefit import AugmentationReport, MeasureSettings, measure
from countermark.generators.augmentation.filling import Filled, fill_classes
from countermark.generators.augmentation.plan import allot, fill_up

__all__ = ["AugmentationReport", "Filled", "MeasureSettings", "allot", "fill_classes", "fill_up", "measure"]
