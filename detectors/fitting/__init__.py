"""How detectors are fitted: histories that both classes pass through alike, and linear heads."""
