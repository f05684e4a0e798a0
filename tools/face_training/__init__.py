"""How the face expert was made: portraits of whole sources, faces put into them, views, and its fit."""
