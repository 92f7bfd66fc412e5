"""AES-128-CMAC-96 for TCP-AO (RFC 5926), by the package `cryptography`: `pip install usertcp[aes]`."""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.cmac import CMAC

from usertcp.tcp.ao import kdf_input


class AesCmac:
    """KDF_AES_128_CMAC and AES-128-CMAC-96 (RFC 5926, 3.1.1.2 and 3.2.2)."""

    octets = 12

    def derive(self, master_key: bytes, context: bytes) -> bytes:
        """A master key of another length than AES has goes through it first."""
        key = master_key if len(master_key) == 16 else cmac(bytes(16), master_key)
        return cmac(key, kdf_input(context, 128))

    def mac(self, traffic_key: bytes, message: bytes) -> bytes:
        return cmac(traffic_key, message)[: self.octets]

    def __repr__(self) -> str:
        return "AES_128_CMAC_96"


AES_128_CMAC_96 = AesCmac()


def cmac(key: bytes, message: bytes) -> bytes:
    """RFC 4493."""
    code = CMAC(AES128(key))
    code.update(message)
    return code.finalize()
