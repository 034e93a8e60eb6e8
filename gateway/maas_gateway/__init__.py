"""Envoy in front of Triton: traffic split, keys, limits, metering. Configuration only; the proxy is Envoy."""
