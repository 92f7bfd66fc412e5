"""The protocol: RFC 9293 without I/O, clock or randomness. Start reading at `connection.py`."""
