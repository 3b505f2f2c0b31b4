"""WebSockets (RFC 6455), either side of one, over the sans-I/O classes of `websockets`.

Imports nothing of the product, so that the server, the upstream client and the simulated provider can share it.
"""
