"""Load generators that are not Python: wrk for HTTP, NVIDIA's perf_analyzer for gRPC and shared memory."""
