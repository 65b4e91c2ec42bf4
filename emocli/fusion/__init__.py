"""Fusion of several models' predictions for the same utterances.

`sides` brings tables into one order and finds their common labels. `averages` and
`entropy_selection` decide on arrays, and `fused` puts their decision back into a table. `bayes`,
`logistic`, `blend`, `ridge` and `stacking` are fitted; `features` is what they see, `trained` fits
and applies them. `storage` keeps what was learned.
"""
