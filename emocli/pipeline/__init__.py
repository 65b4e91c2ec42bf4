"""Use cases: what the command line and the Python interface have in common.

Here audio, tables and models meet. Nothing prints: progress goes to a callback, doubts and
failures go into the table.
"""
