"""Which room holds which slot of the cache."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence

from limelight.engine.errors import CacheOverflow


class SlotTable:
    """Hands out `capacity` slots to rooms; when none is free, the least recently used moves on."""

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity: found {capacity}, expected at least 1")
        self.capacity = capacity
        self._free = list(range(capacity - 1, -1, -1))
        self._slot_of: OrderedDict[str, int] = OrderedDict()  # least recently used first

    def __len__(self) -> int:
        return len(self._slot_of)

    def find(self, room_id: str) -> int | None:
        """The room's slot, or None if it holds none. Looking does not count as use."""
        return self._slot_of.get(room_id)

    def assign(self, room_ids: Sequence[str]) -> tuple[list[int], list[str]]:
        """A slot for each room, and the rooms that lost theirs to make place.

        A room keeps the slot it has. No room of this call loses its slot to another of it.

        Raises:
            CacheOverflow: the call names more rooms than there are slots; nothing is changed.
        """
        distinct = len(set(room_ids))
        if distinct > self.capacity:
            raise CacheOverflow(f"found {distinct} rooms in one batch, capacity {self.capacity}")
        self._touch(room_ids)
        slots: list[int] = []
        evicted: list[str] = []
        for room_id in room_ids:
            slot = self._slot_of.get(room_id)
            if slot is None:
                slot = self._free.pop() if self._free else self._evict(evicted)
                self._slot_of[room_id] = slot
            slots.append(slot)
        return slots, evicted

    def release(self, room_id: str) -> int | None:
        """Frees the room's slot and returns it; None if the room holds none."""
        slot = self._slot_of.pop(room_id, None)
        if slot is not None:
            self._free.append(slot)
        return slot

    def _touch(self, room_ids: Iterable[str]) -> None:
        # All known rooms of the call first, so that none of them is the oldest when evicting.
        for room_id in room_ids:
            if room_id in self._slot_of:
                self._slot_of.move_to_end(room_id)

    def _evict(self, evicted: list[str]) -> int:
        room_id, slot = self._slot_of.popitem(last=False)
        evicted.append(room_id)
        return slot
