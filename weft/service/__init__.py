"""The service: weft in front of coding agents, over HTTP."""

from weft.extras import need

need("serve", "weft serve")
