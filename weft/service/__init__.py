"""The service: weft in front of coding agents, over HTTP."""
