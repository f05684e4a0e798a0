"""Frozen feature extractors that several detectors share: structure, packing, the shipped weights."""
