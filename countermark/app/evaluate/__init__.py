"""Evaluations: measured figures of a detector, a recipe or a generator, as report documents."""
