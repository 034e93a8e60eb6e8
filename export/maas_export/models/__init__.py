"""One file per family of models; each lists its models in ``MODELS``."""
