"""Latents: a frozen autoencoder that ships with the package, and what GANs do in its space."""
