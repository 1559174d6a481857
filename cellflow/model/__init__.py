"""From snapshots to a fitted flow: recipes, coupled plans, the fit, and what it returns."""
