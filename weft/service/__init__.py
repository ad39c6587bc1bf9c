"""The service: weft in front of coding agents, over HTTP.

Called by `weft serve`. The rooms below hold the parts; `service` holds what requests share, and
`app` the routes. To add a path, write a protocol or a route in the room whose work it is. Trades
away: a service is one process on one core, which sees all programs of
its engines.
"""

from weft.extras import need

need("serve", "weft serve")
