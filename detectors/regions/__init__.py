"""Parts of a picture that do not fit the rest: found, shown as a mask, with their place and strength."""
