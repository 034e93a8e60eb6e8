"""Torch modules, one family a file; their specs are in :mod:`maas_export.models`."""
