"""The client library beside bare tritonclient, in one run: ``python -m bench client``."""
