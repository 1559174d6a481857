"""From the dynamics to genes: trends, drivers, perturbations, regulation."""
