"""Recipes for adversarial training: what they may say, and those that come with the package."""
