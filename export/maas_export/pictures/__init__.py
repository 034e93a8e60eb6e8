"""What training and evaluation saw, as PNG."""
