"""The `weft` command: thin, one file for each group of verbs."""
