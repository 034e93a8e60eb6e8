"""Who is measured: embedded Triton, and what a Python team would write instead."""
