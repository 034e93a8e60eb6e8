"""Long measurements of rollouts under traffic: ``python -m tests.campaigns.NAME``; exit code 1: it did not hold."""
