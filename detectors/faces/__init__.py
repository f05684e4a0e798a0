"""Faces: where they are in a picture, and whether one of them was put in."""
