"""Clips: scanned frame by frame, marked, signed and verified, each through the same doors as pictures."""
