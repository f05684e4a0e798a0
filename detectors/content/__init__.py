"""What kind of picture something is: photograph, painting, illustration, render, screenshot, document."""
