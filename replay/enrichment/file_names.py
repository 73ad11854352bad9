"""What the files of a highlight are called."""

import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

# File systems take names of 255 bytes; a suffix and a temporary one come behind this.
_MAX_NAME_BYTES = 200
_HASH_DIGITS = 32


def stored_name(highlight: Mapping[str, Any]) -> str:
    """`room~start~model`: each highlight's own, with nothing that a URL takes for more."""
    name = quote(str(highlight["highlight_id"]), safe="")
    # Percent signs would be decoded on the way; what stands for them must not be there already.
    for character, written in (("~", "%7E"), ("_", "%5F"), ("%2F", "~"), ("%", "_")):
        name = name.replace(character, written)
    if len(name) > _MAX_NAME_BYTES:
        # A room's name of Chinese characters takes nine bytes for each.
        digest = hashlib.sha256(name.encode()).hexdigest()[:_HASH_DIGITS]
        name = f"{name[: _MAX_NAME_BYTES - 1 - _HASH_DIGITS]}~{digest}"
    return name
