"""JSON that is kept in memory for a while."""

from typing import Any

import orjson


def kept_json(value: Any) -> bytes:
    """`value` as JSON, in no more memory than it needs.

    orjson gives its writing buffer away as it is: 4 kB for 500 bytes, 32 kB for 3,000 (3.13). For
    what is sent and forgotten that is quick, but a room keeps 20 segments, and its table as many.
    """
    return bytes(memoryview(orjson.dumps(value)))
