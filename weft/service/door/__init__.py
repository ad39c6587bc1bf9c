"""Who comes in, and how many: hosts, keys, tenants, load, and places in the queue.

Called once a request, before anything of the request is scheduled. To add a limit, say it in
`settings` and ask it in `tenants` or `load`. Trades away: limits are those of one process.
"""
