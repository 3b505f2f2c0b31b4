"""How long a connection of a client may stay as it is, and how much is taken from it."""

HEAD_S = 30.0
"""How long the head of a request may take, and how long nothing may come on a fresh connection."""

IDLE_S = 75.0
"""How long a connection is kept for another request (nginx's keepalive_timeout)."""

GRACE_S = 0.5
"""How long a connection is left alone although others wait for its place: its request may be on its way."""

LINGER_S = 10.0
LINGER_BYTES = 256 * 1024 * 1024
"""How long, and how much, is read and thrown away after the last reply from a client that still sends: closing at once
would reset the connection, and take the reply from it (RFC 9112, 9.6)."""

FAREWELL_S = 1.0
"""When the server stops: how long it waits for the request of a client that does not know that it stops, as it has just
connected or was told that its connection is kept, and for the rest of one that is answered."""

READ_AHEAD_BYTES = 256 * 1024
READ_AHEAD_REQUESTS = 16
"""When this many requests, or more than this of bodies, wait for the application, nothing is read from the socket. As
long as something is, we see when the client leaves."""

WRITE_AHEAD_BYTES = 16 * 1024
"""No more than this waits of what the kernel does not take: nothing more is written until the client has taken most of
it. Less goes out with all else that the loop has at hand."""

NEVER = float("inf")
"""A deadline that does not come."""
