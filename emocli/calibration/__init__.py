"""Making probabilities honest, and saying what is not known: arrays and tables in, the same out.

A *map* turns posteriors into calibrated posteriors; it is fitted on predictions whose truth is
known. A *calibration* is a map, and label sets of a chosen coverage if asked for, together with
the labels and the model that it was fitted on, so that it cannot be applied to anything else.
"""
