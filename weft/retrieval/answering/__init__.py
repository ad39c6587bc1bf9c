"""Answering: programs that look things up before they answer, and what is worth its tokens.

One file a method, over one talk that loses nothing that the model said (`talk`) and one way to read
marked lines (`lines`). Called by users' programs, through `weft.retrieval`. To add a program, take
a `Talk` and `Findings` and give a `Researched`. Trades away: ordinary models are prompted, where
the papers train theirs; a model that writes no marked lines has to answer early.
"""
