"""Evaluations: tasks, suites, running them, statistics and reports."""
