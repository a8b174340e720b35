"""The benchmark: generated landing data, contenders, goals and a report."""
