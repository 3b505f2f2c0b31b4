"""The HTTP/1.1 server: an asyncio protocol on llhttp that hands requests to an ASGI application in its own thread.

A server with threads of its own has to wake the interpreter for every request and be woken for every reply; at 1,000
requests/s that is two thirds of what a request waits for (`bench`, row `added-latency`).
"""
