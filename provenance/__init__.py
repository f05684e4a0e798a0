"""Provenance: credentials, marks, fingerprints and metadata."""
