"""Emotion in speech: predictions, and how sure they are."""
