"""Load tests on Locust with a schedule fixed in advance and a verdict."""
