"""Looking at rollouts: on a terminal, on a page, as metrics. Everything here only reads."""
