"""The benchmark: made-up landing data, contenders, goals, a report."""
