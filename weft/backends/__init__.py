"""Inference engines: the contract, and what implements it."""
