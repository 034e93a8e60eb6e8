"""What ``make bench`` runs: embedded Triton beside its limit and beside what a Python team would write instead."""
