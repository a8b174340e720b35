"""The logic of the Python models in `models/ml`: features, churn, recommendations."""
