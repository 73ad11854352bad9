"""What can be wrong with a feature log.

FeatureLogError
├── MalformedLog      a file that cannot be read, or not as this version's schema
├── MixedEncoders     features of several encoders where one was expected
├── EmptyInterval     nothing was logged in the time asked for
└── ForeignLog        files that were written from other topics than these

Beside these there is `limelight.replay.store.StoreFailed`: a file could not be written; what it was
to hold is kept and tried again.
"""

from limelight.engine.errors import LimelightError


class FeatureLogError(LimelightError):
    """Something about a feature log is not as it should be."""


class MalformedLog(FeatureLogError):
    """A file of the log that cannot be read."""


class MixedEncoders(FeatureLogError):
    """Features of another encoder than the one expected; they share no space."""


class EmptyInterval(FeatureLogError):
    """Nothing was logged in the time asked for."""


class ForeignLog(FeatureLogError):
    """The log continues other topics than those it is given."""
