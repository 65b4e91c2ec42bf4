"""Fusion of several models' predictions for the same utterances.

`sides` brings tables into one order and finds their common labels; `averages` and
`entropy_selection` decide, on arrays; `fused` puts the decision back into a table; `storage` keeps
what was learned.
"""
