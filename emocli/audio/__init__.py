"""Recordings: finding them, decoding them, judging their quality and cutting windows."""
