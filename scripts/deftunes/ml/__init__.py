"""What the Python models in `models/ml` call: to fit, to measure and to rank."""
