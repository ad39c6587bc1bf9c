"""The side that faces the client: the connection, what a request may not do, and the exchange.

Called by the server and by inference. To refuse more of what clients send, extend `guard`. Trades
away: answers are written to uvicorn's transport
past ASGI, which ties this room to uvicorn's inner parts.
"""
