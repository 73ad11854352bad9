"""pyarrow, which the feature log needs and a live system does not."""

from limelight.engine.errors import LimelightError


class MissingExtra(LimelightError, ImportError):
    """A package of an optional extra is not installed."""


try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as error:
    raise MissingExtra(
        f"feature log: found no package {error.name}, expected it from the extra `log`"
        " (pip install 'limelight[log]')"
    ) from error

__all__ = ["MissingExtra", "pa", "pq"]
