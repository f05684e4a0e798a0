"""Adversarial training: losses, regularisers, augmentation, the loop, recipes, the zoo."""
