"""How good predictions are and how honest their probabilities: arrays in, figures out.

Every figure is a function of counts or sums that are additive over utterances, or of a ranking by
confidence. The functions take any leading axes, so the same code gives the figure of a whole
table, of each speaker, and of a thousand resampled tables.
"""
