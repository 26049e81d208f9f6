"""Training image classifiers: one loop for all papers, its schedules, stop rules and checkpoints."""
