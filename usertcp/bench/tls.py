"""A certificate for both ends of the cable, so that TLS needs nothing to be installed.

It signs itself, and is valid from 2020 to 2120. The key protects nothing: it is here to be read.
"""

from __future__ import annotations

import ssl
from tempfile import NamedTemporaryFile

NAME = "peer.example"
CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBmzCCAUGgAwIBAgIBATAKBggqhkjOPQQDAjAXMRUwEwYDVQQDDAxwZWVyLmV4
YW1wbGUwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMBcxFTATBgNV
BAMMDHBlZXIuZXhhbXBsZTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABOx1Vite
f1+AbgXMUe/KK8ppGCTQEiynBqnz4Uc0mDnUt4wmxh23Tv0nySzf7hFeroBFPJM6
m/HUjh0VzKbbcrijfDB6MBcGA1UdEQQQMA6CDHBlZXIuZXhhbXBsZTAPBgNVHRMB
Af8EBTADAQH/MA4GA1UdDwEB/wQEAwIChDAdBgNVHQ4EFgQUcha23ifsK1tNvRlS
fZ41z8WbLVAwHwYDVR0jBBgwFoAUcha23ifsK1tNvRlSfZ41z8WbLVAwCgYIKoZI
zj0EAwIDSAAwRQIgZzwAzoiYinZeenNJLQ1pEX8HBB+w6Bft09QBxshZsbUCIQCW
YQrVTmeg/oLoqc0Ml7omb/AQ3oyFWPJeNYHtMC5BRw==
-----END CERTIFICATE-----
"""
KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg84TmFbFvXLlatWfx
Rkd1B8l6NNAuFdeg5QlYKRfrR2ahRANCAATsdVYrXn9fgG4FzFHvyivKaRgk0BIs
pwap8+FHNJg51LeMJsYdt079J8ks3+4RXq6ARTyTOpvx1I4dFcym23K4
-----END PRIVATE KEY-----
"""


def client_context() -> ssl.SSLContext:
    """Trusts the certificate and nothing else."""
    return ssl.create_default_context(cadata=CERTIFICATE)


def server_context() -> ssl.SSLContext:
    """Shows the certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(KEY + CERTIFICATE)
        file.flush()
        context.load_cert_chain(file.name)
    return context
