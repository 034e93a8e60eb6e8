"""The load generator under test: against arithmetic, against NVIDIA's perf_analyzer, and against its own processor."""
