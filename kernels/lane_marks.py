"""Marks and counts of lanes: comparing many numbers and counting the answers.

Marks are lanes with all bits set where something is true, else none: unlike flags they stay in full
registers when they are combined. Counts are whole numbers in the bits of lanes.
"""

from typing import Any

import llvmlite.ir as ir
from numba import types
from numba.extending import intrinsic

from limelight.kernels.lanes import binary, constant


def _as_integers(builder: Any, lanes: Any) -> Any:
    size = 32 if isinstance(lanes.type.element, ir.FloatType) else 64
    return builder.bitcast(lanes, ir.VectorType(ir.IntType(size), lanes.type.count))


def _marks(comparison: str) -> Any:
    def emit(builder: Any, left: Any, right: Any) -> Any:
        found = builder.fcmp_ordered(comparison, left, right)
        return builder.bitcast(builder.sext(found, _as_integers(builder, left).type), left.type)

    return binary(emit)


def _on_bits(name: str) -> Any:
    def emit(builder: Any, left: Any, right: Any) -> Any:
        whole = _as_integers(builder, left), _as_integers(builder, right)
        return builder.bitcast(getattr(builder, name)(*whole), left.type)

    return binary(emit)


below = _marks("<")
equal = _marks("==")
either = _on_bits("or_")
differ = _on_bits("xor")
# Marks are -1 as whole numbers: `plus_marks(counts, marks)` counts those that are set.
plus_marks = _on_bits("sub")
minus_marks = _on_bits("add")


@intrinsic  # type: ignore[untyped-decorator]
def store_counts(typing: Any, array: Any, offset: Any, counts: Any) -> Any:
    """Writes counts, each within 2**51, to neighbours of a flat array of float64."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        whole = _as_integers(builder, args[2])
        kind = ir.VectorType(ir.DoubleType(), whole.type.count)
        if whole.type.element.width == 32:
            numbers = builder.sitofp(whole, kind)
        else:
            # As in two_to: next to 1.5 * 2**52, a whole number stands in the lowest bits.
            bits_of_middle = (1023 + 52 << 52) + (1 << 51)
            moved = builder.add(whole, constant(whole.type, bits_of_middle))
            numbers = builder.fsub(builder.bitcast(moved, kind), constant(kind, 1.5 * 2.0**52))
        place = builder.bitcast(builder.gep(data, [args[1]]), kind.as_pointer())
        builder.store(numbers, place, align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, counts), build
