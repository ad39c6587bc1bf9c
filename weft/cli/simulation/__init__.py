"""The verbs that simulate: `weft simulate`, `weft tune` and `weft explain`.

Called by `main`. To add a verb, give it a file here and take workload, engines and arrivals from
`options`. Trades away: the verbs have the same options, be they needed by few.
"""
