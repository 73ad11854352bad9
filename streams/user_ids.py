"""User ids as the topics may hold them: hashed with a key, so that nobody finds out who it was.

A plain hash would not do: whoever has a list of a platform's user ids hashes all of them and looks
them up. The edge, a gateway or the player, holds the key; the rest of the system never sees it.
"""

import hashlib
import hmac
import secrets

from pydantic import SecretStr

HASH_BYTES = 16


def make_user_key(user_key: SecretStr) -> bytes:
    """The key of the settings, or a random one where none is set."""
    return user_key.get_secret_value().encode() or secrets.token_bytes(32)


def hash_user(key: bytes, user_id: str) -> str:
    """The first 16 bytes of HMAC-SHA256 over the id, as 32 hexadecimal digits; "" stays "".

    Worked example, with the key "a key of 16 bytes or more": "viewer-42" becomes
    "8975c248c89502a163407e7d4e5cfd8e".
    """
    if not user_id:
        return ""
    return hmac.digest(key, user_id.encode(), hashlib.sha256)[:HASH_BYTES].hex()
