"""Generators: networks that make labelled synthetic images."""
