"""Programs that start or measure the replications."""
