"""Review of fused labels by a language model: what it is asked, and what may come of its answer.

Nothing here reads files or talks to anyone.
"""
