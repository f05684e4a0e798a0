"""Detectors: networks that test images for synthetic origin."""
