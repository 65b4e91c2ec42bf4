"""Recipes, features, batches, losses and the loop that turns them into a model folder."""
