"""Tasks: problems, how to ask them, and when an answer is right.

`registry` knows them by name, `task` says what one is. Nothing is imported here, so that the
games can be used (to train a model, say) without the rest of weft.
"""
