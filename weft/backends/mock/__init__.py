"""A scripted engine as an HTTP server that speaks as vLLM does, faults included.

Called by `weft mock` and by tests. To add an endpoint, add a form beside `chat` and name the
form in `endpoints`. Trades away: nothing is computed, so times are those of the script.
"""

from weft.extras import need

need("serve", "weft mock")
