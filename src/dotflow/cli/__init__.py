"""The command ``dotflow``."""
