"""Emotion over time: smoothed windows, segments of one emotion, and turns of speakers."""
