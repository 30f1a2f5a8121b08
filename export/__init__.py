"""From a float checkpoint to a verified int8 bundle: ``python -m export NAME``."""
