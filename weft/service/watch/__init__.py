"""All that looks at the service and changes nothing: metrics, logs, traces, the dashboard.

Called with what happened, after the fact. To add a metric, add the metric to `metrics` and name
the event. Trades away: sums live in memory and begin anew with the process.
"""
