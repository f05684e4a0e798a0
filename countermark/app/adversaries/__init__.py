"""Adversaries: what hides synthetic images from a detector, searched, learned and measured."""
