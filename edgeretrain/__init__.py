"""edgeretrain: from a folder of photos to a checked, fully quantized image classifier on a phone."""

__version__ = "0.1.0"
