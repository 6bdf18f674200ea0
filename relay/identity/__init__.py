"""Whose event is this, and by which evidence. Pure rules; the graph itself lives in the store.

Identifiers belong to persons; visitors (cookie jars) are tied to persons by links that carry evidence.
Nothing is merged destructively, and where the evidence does not decide, the answer is nobody.
"""
