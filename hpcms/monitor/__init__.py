"""What decides how well a region has to be answered: indicators, thresholds, budgets; NumPy on whole batches of regions."""
