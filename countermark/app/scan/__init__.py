"""Scan: from files to verdicts."""
