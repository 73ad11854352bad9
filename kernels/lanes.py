"""Numbers side by side: the vector type that the other kernels are written in.

LLVM's vectoriser does not find the independent matrices of a batch by itself, so they are spelled
out: a `Lanes` value is one `<16 x float>` or `<8 x double>` of LLVM, 64 bytes, which becomes one,
two or four registers, whatever the machine has. `+ - * / <=` work on it as on a number. Everything
here is for compiled code only.

Numba's cache does not notice when this file changes: delete `kernels/__pycache__` after an edit.

Nothing here uses fast-math: an infinity stays an infinity.
"""

import operator
from collections.abc import Callable
from typing import Any, Final

import llvmlite.ir as ir
from numba import types
from numba.extending import intrinsic, models, overload, register_model

# A lanes value has LANE_BYTES // itemsize numbers.
LANE_BYTES: Final = 64

_FLOATS: Final = {types.float32: ir.FloatType(), types.float64: ir.DoubleType()}
BITS: Final = {types.float32: 32, types.float64: 64}
_INT32: Final = ir.IntType(32)


class Lanes(types.Type):  # type: ignore[misc]
    """Numba's type of `count` floats."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        self.count = lane_count(dtype)
        super().__init__(name=f"Lanes({dtype})")


class Flags(types.Type):  # type: ignore[misc]
    """Numba's type of `count` booleans, which a comparison gives."""

    def __init__(self, count: int) -> None:
        self.count = count
        super().__init__(name=f"Flags({count})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Lanes) -> None:
        super().__init__(manager, kind, vector_type(kind.dtype))


@register_model(Flags)
class _FlagsModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Flags) -> None:
        super().__init__(manager, kind, ir.VectorType(ir.IntType(1), kind.count))


def lane_count(dtype: Any) -> int:
    return LANE_BYTES * 8 // BITS[dtype]


def vector_type(dtype: Any) -> ir.VectorType:
    return ir.VectorType(_FLOATS[dtype], lane_count(dtype))


def integers_type(dtype: Any) -> ir.VectorType:
    return ir.VectorType(ir.IntType(BITS[dtype]), lane_count(dtype))


def constant(kind: ir.VectorType, value: Any) -> ir.Constant:
    return ir.Constant(kind, [value] * kind.count)


def _place(
    context: Any, builder: Any, array_type: Any, array: Any, offset: Any, count: int = 0
) -> Any:
    """Pointer to `count` elements of a flat array from `offset` on; 0 means as many as lanes."""
    data = context.make_array(array_type)(context, builder, array).data
    kind = ir.VectorType(_FLOATS[array_type.dtype], count or lane_count(array_type.dtype))
    return builder.bitcast(builder.gep(data, [offset]), kind.as_pointer())


def _shuffle(builder: Any, first: Any, second: Any, chosen: list[int]) -> Any:
    return builder.shuffle_vector(
        first, second, ir.Constant(ir.VectorType(_INT32, len(chosen)), chosen)
    )


def _transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """The columns of a square of 32-byte rows, by shuffles that are one instruction each on AVX."""
    side = len(rows)
    part = side // 2  # numbers in 16 bytes, across which a shuffle costs more
    for first in (0, part):
        group = rows[first : first + part]
        for _ in range(part.bit_length() - 1):
            group = [
                _interleaved(builder, group[k], group[k + part // 2], upper)
                for k in range(part // 2)
                for upper in (False, True)
            ]
        rows = [*rows[:first], *group, *rows[first + part :]]
    ends = [*range(part), *range(side, side + part)]
    low = [_shuffle(builder, rows[k], rows[k + part], ends) for k in range(part)]
    ends = [position + part for position in ends]
    return low + [_shuffle(builder, rows[k], rows[k + part], ends) for k in range(part)]


def _interleaved(builder: Any, first: Any, second: Any, upper: bool) -> Any:
    """Alternately from both, out of the lower or upper half of each 16 bytes."""
    side = first.type.count
    part = side // 2
    chosen = []
    for half in (0, part):
        begin = half + (part // 2 if upper else 0)
        for k in range(begin, begin + part // 2):
            chosen += [k, side + k]
    return _shuffle(builder, first, second, chosen)


@intrinsic  # type: ignore[untyped-decorator]
def splat(typing: Any, number: Any) -> Any:
    """The same number in all lanes."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        (value,) = args
        empty = ir.Constant(vector_type(signature.args[0]), ir.Undefined)
        one = builder.insert_element(empty, value, ir.Constant(_INT32, 0))
        return _shuffle(builder, one, empty, [0] * empty.type.count)

    return Lanes(number)(number), build


@intrinsic  # type: ignore[untyped-decorator]
def load(typing: Any, array: Any, offset: Any) -> Any:
    """Neighbours of a flat array."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = _place(context, builder, signature.args[0], *args)
        return builder.load(place, align=BITS[signature.args[0].dtype] // 8)

    return Lanes(array.dtype)(array, types.intp), build


@intrinsic  # type: ignore[untyped-decorator]
def store(typing: Any, array: Any, offset: Any, lanes: Any) -> Any:
    """Writes the lanes to neighbours of a flat array."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = _place(context, builder, signature.args[0], args[0], args[1])
        builder.store(args[2], place, align=BITS[signature.args[0].dtype] // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), build


@intrinsic  # type: ignore[untyped-decorator]
def transpose(
    typing: Any, source: Any, starts: Any, offset: Any, target: Any, target_offset: Any
) -> Any:
    """Turns as many runs as there are lanes round, each of as many numbers.

    Run r is `source[starts[r] + offset :][:count]`; number k of it is written to
    `target[target_offset + count * k + r]`.
    """

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = signature.args[0]
        size, count = BITS[kind.dtype] // 8, lane_count(kind.dtype)
        starts_type = signature.args[1]
        first = context.make_array(starts_type)(context, builder, args[1]).data
        runs = []
        for run in range(count):
            start = builder.load(builder.gep(first, [ir.Constant(_INT32, run)]))
            runs.append(builder.add(start, args[2]))
        # In squares that fit the registers of a machine with 32-byte vectors.
        side = 32 // size
        for first_run in range(0, count, side):
            for first_number in range(0, count, side):
                square = []
                for run in runs[first_run : first_run + side]:
                    at = builder.add(run, ir.Constant(run.type, first_number))
                    place = _place(context, builder, kind, args[0], at, side)
                    square.append(builder.load(place, align=size))
                for number, numbers in enumerate(_transposed(builder, square), first_number):
                    at = builder.add(args[4], ir.Constant(args[4].type, count * number + first_run))
                    place = _place(context, builder, signature.args[3], args[3], at, side)
                    builder.store(numbers, place, align=size)
        return context.get_dummy_value()

    return types.void(source, starts, types.intp, target, types.intp), build


@intrinsic  # type: ignore[untyped-decorator]
def lane(typing: Any, lanes: Any, index: Any) -> Any:
    """One lane's number."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.extract_element(*args)

    return lanes.dtype(lanes, types.intp), build


@intrinsic  # type: ignore[untyped-decorator]
def top(typing: Any, lanes: Any) -> Any:
    """The last lane's number."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.extract_element(args[0], ir.Constant(_INT32, args[0].type.count - 1))

    return lanes.dtype(lanes), build


@intrinsic  # type: ignore[untyped-decorator]
def pushed(typing: Any, lanes: Any, number: Any) -> Any:
    """All lanes moved up by one; `number` comes into lane 0, and the last is lost."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        old, new = args
        moved = _shuffle(builder, old, old, [0, *range(old.type.count - 1)])
        return builder.insert_element(moved, new, ir.Constant(_INT32, 0))

    return lanes(lanes, lanes.dtype), build


@intrinsic  # type: ignore[untyped-decorator]
def choose(typing: Any, condition: Any, if_true: Any, if_false: Any) -> Any:
    """Per lane the one or the other."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(*args)

    return if_true(condition, if_true, if_false), build


@intrinsic  # type: ignore[untyped-decorator]
def bits(typing: Any, condition: Any) -> Any:
    """A uint32 with bit k set where lane k is true."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        whole = builder.bitcast(args[0], ir.IntType(signature.args[0].count))
        return builder.zext(whole, _INT32)

    return types.uint32(condition), build


def binary(emit: Callable[[Any, Any, Any], Any], gives_flags: bool = False) -> Any:
    """An intrinsic of two vectors of one type."""

    @intrinsic  # type: ignore[untyped-decorator]
    def apply(typing: Any, left: Any, right: Any) -> Any:
        if not (isinstance(left, Lanes) and left == right):
            return None

        def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return emit(builder, *args)

        return (Flags(left.count) if gives_flags else left)(left, right), build

    return apply


minimum = binary(lambda builder, a, b: builder.select(builder.fcmp_ordered("<", a, b), a, b))
maximum = binary(lambda builder, a, b: builder.select(builder.fcmp_ordered(">", a, b), a, b))
_sum = binary(lambda builder, a, b: builder.fadd(a, b))
_difference = binary(lambda builder, a, b: builder.fsub(a, b))
_product = binary(lambda builder, a, b: builder.fmul(a, b))
_quotient = binary(lambda builder, a, b: builder.fdiv(a, b))
_at_most = binary(lambda builder, a, b: builder.fcmp_ordered("<=", a, b), gives_flags=True)


def _operator(function: Any, apply: Any) -> None:
    # Numba compares the two signatures, and a lambda's arguments have no types to write down.
    @overload(function, inline="always")
    def _implement(left, right):  # type: ignore[no-untyped-def]
        if isinstance(left, Lanes) and left == right:
            return lambda left, right: apply(left, right)
        return None


for _function, _apply in (
    (operator.add, _sum),
    (operator.sub, _difference),
    (operator.mul, _product),
    (operator.truediv, _quotient),
    (operator.le, _at_most),
):
    _operator(_function, _apply)
