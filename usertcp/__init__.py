"""A TCP endpoint (RFC 9293) that lives in a Python process."""
