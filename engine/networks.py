"""The network that decides, and those that follow the same rooms beside it.

A new champion is loaded and warmed up elsewhere, then follows: it is prefilled room by room, a few
between two batches, and scores every batch from then on without being asked. Once it has seen all
that the old one has, it takes over between two batches. So no segment goes unscored, none is scored
by both, and no room waits for more than a portion of prefills. A challenger is a follower that
stays: its scores are reported beside the champion's, and promoting it later takes no time at all.
"""

import logging

from limelight.engine.room_encodings import Ints
from limelight.engine.room_network import Floats, RoomNetwork

logger = logging.getLogger(__name__)


class Networks:
    """One champion, perhaps a challenger, perhaps a champion to be."""

    def __init__(self, champion: RoomNetwork) -> None:
        self.champion = champion
        self.challenger: RoomNetwork | None = None
        self._coming: RoomNetwork | None = None

    @property
    def coming_version(self) -> str | None:
        """The version of the champion that is being prefilled, None if none is."""
        return self._coming.version if self._coming else None

    def promote(self, network: RoomNetwork | None) -> None:
        """Let the network take over as soon as it has caught up.

        One that is still on its way is given up, and with None the champion stays what it is.
        """
        if network is not None and network is self.challenger:
            self.challenger = None
        self._coming = network

    def challenge(self, network: RoomNetwork | None) -> None:
        """Let the network score beside the champion; None ends that."""
        self.challenger = network

    def logits(self, slots: Ints) -> tuple[Floats, Floats | None]:
        """(B,) of the champion, and of the challenger if there is one.

        A follower that fails is dropped and its failure logged: the champion goes on.
        """
        logits = self.champion.logits(slots)
        self._coming = self._followed(self._coming, slots)[0]
        self.challenger, shadow = self._followed(self.challenger, slots)
        return logits, shadow

    def catch_up(self, live_slots: Ints, max_rooms: int) -> bool:
        """Prefill the followers for some of the rooms, and change over if nothing is missing.

        Returns:
            Whether a follower still has rooms to see.
        """
        self.challenger, late = self._caught_up(self.challenger, live_slots, max_rooms)
        self._coming, later = self._caught_up(self._coming, live_slots, max_rooms)
        if self._coming is not None and not later:
            before, self.champion, self._coming = self.champion, self._coming, None
            versions = {"before": before.version, "after": self.champion.version}
            logger.info("champion replaced", extra=versions)
        return late or later

    def clear(self, slot: int) -> None:
        """Forgets the room that held the slot."""
        for network in (self.champion, self.challenger, self._coming):
            if network is not None:
                network.clear(slot)

    def _caught_up(
        self, network: RoomNetwork | None, live_slots: Ints, max_rooms: int
    ) -> tuple[RoomNetwork | None, bool]:
        if network is None:
            return None, False
        behind = network.behind(live_slots)
        if len(behind):
            network = self._followed(network, behind[:max_rooms])[0]
        return network, network is not None and len(behind) > max_rooms

    def _followed(
        self, network: RoomNetwork | None, slots: Ints
    ) -> tuple[RoomNetwork | None, Floats | None]:
        """The network and its logits, None and None if it failed."""
        if network is None:
            return None, None
        try:
            return network, network.logits(slots)
        except Exception:
            logger.exception("network dropped", extra={"version": network.version})
            return None, None
