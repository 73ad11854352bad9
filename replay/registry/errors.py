"""What can be wrong with a registry.

RegistryError
├── UnknownVersion    no version of that name, or only a half-written one
├── MalformedVersion  a version whose files are not those that were registered
├── VersionExists     another network was registered under that name
└── ChangedMeanwhile  somebody else has changed the pointers since they were read
"""

from limelight.engine.errors import LimelightError


class RegistryError(LimelightError):
    """Something about a registry is not as it should be."""


class UnknownVersion(RegistryError):
    """No version of that name is there."""


class MalformedVersion(RegistryError):
    """A version's files are not those that were registered."""


class VersionExists(RegistryError):
    """A version is registered once; its files never change."""


class ChangedMeanwhile(RegistryError):
    """Somebody else has changed the pointers since they were read."""
