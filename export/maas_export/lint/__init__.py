"""``maas lint``: what Triton would refuse in a model repository, and what it takes although it is wrong, found offline.

A repository is read (``scan``), every model is held against the rules (``checks``), and what is safe is mended
(``fix``). Nothing here starts a server, imports torch or reads weights.
"""
