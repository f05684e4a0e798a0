"""Doodle to image: free pairs from photographs, a conditional generator, its training and measures."""
