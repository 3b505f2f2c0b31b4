"""A small HTTP/1.1 client for exactly what a proxy needs: it moves bytes, and lets go of a socket at once.

`client` is the adapter, `pool` the connections of one origin, `connector` opens them, `connection` is one of them,
`reply` what one exchange brings, `upload` a body that is not held, `request` the bytes of a request's head. llhttp
(httptools) parses, strictly: content-length together with transfer-encoding, two lengths, folded headers and bare line
feeds are refused (RFC 9112 sections 2.2, 5.2 and 6.3), and whatever follows a reply unasked ends its connection.
`plain_reply` saves it whole replies that nobody could read in two ways.
"""
