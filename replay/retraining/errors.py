"""What can stop a retraining run; nothing that is live changes by any of it."""

from limelight.engine.errors import LimelightError


class TooLittleData(LimelightError):
    """The log has too little to learn from or to judge on."""


class RunFailed(LimelightError):
    """A stage of the run did not come to its end."""
