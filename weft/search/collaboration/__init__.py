"""Strategies in which models of several sizes share the work.

Either they write one answer together, or one of them is chosen for a question.

Called through their specs. To add one, have `generate` ask a model by its role, and mark the class
`@strategy` in a file of its own. Models hand texts to each other, never token ids: each has a
tokenizer of its own. Trades away: each model has to read what the others wrote, and what a small
model wrote in vain is paid for.
"""
