"""One load test, a comparison or a search as one HTML file that needs nothing else: no script, no font, no network."""
