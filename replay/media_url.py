"""A video on a server, in the place of a file."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

SCHEMES = ("http", "https")


@dataclass(frozen=True, slots=True)
class MediaUrl:
    """What FFmpeg can open by HTTP: a file or an HLS playlist that has ended.

    Errors and logs show its `name`: the rest of a URL may hold what gives access.

    Raises:
        ValueError: another scheme, or no server.
    """

    url: str
    timeout_s: float = 20.0

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in SCHEMES or not parts.hostname:
            raise ValueError(
                f"url: found {parts.scheme or 'no scheme'} and {parts.hostname or 'no server'},"
                " expected http://... or https://..."
            )

    @property
    def name(self) -> str:
        return PurePosixPath(urlsplit(self.url).path).name or str(urlsplit(self.url).hostname)

    @property
    def suffix(self) -> str:
        return PurePosixPath(urlsplit(self.url).path).suffix

    def __str__(self) -> str:
        return self.name


Video = Path | MediaUrl
