"""Powers of two of lanes: numbers as mantissa and exponent, and put together again."""

import math
from typing import Any, Final

import llvmlite.ir as ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from limelight.kernels.lanes import BITS, constant, integers_type

_MANTISSA_BITS: Final = {types.float32: 23, types.float64: 52}
_LARGEST_EXPONENT: Final = {types.float32: 127, types.float64: 1023}


@intrinsic  # type: ignore[untyped-decorator]
def floor(typing: Any, lanes: Any) -> Any:
    """The largest whole numbers that are not larger."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = args[0].type
        name = f"llvm.floor.v{kind.count}f{BITS[signature.args[0].dtype]}"
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(kind, [kind]), name
        )
        return builder.call(function, args)

    return lanes(lanes), build


@intrinsic  # type: ignore[untyped-decorator]
def two_to_fraction(typing: Any, lanes: Any) -> Any:
    """2**f for f in [-0.5, 0.5], right to about one unit in the last place."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        dtype, kind = signature.args[0].dtype, args[0].type
        name = f"llvm.fmuladd.v{kind.count}f{BITS[dtype]}"
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(kind, [kind] * 3), name
        )
        # Taylor's series of exp(f ln 2), as far as its terms still count in this dtype.
        degree = 7 if dtype == types.float32 else 13
        terms = [math.log(2) ** n / math.factorial(n) for n in range(degree + 1)]
        total = constant(kind, terms[-1])
        for term in reversed(terms[:-1]):
            total = builder.call(function, [total, args[0], constant(kind, term)])
        return total

    return lanes(lanes), build


@intrinsic  # type: ignore[untyped-decorator]
def two_to(typing: Any, lanes: Any) -> Any:
    """2**n for whole n up to 127 (float64: 1023); 0 where it would be below the normal numbers."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        dtype = signature.args[0].dtype
        largest, kind = _LARGEST_EXPONENT[dtype], args[0].type
        lowest = constant(kind, float(-largest))
        # This way round NaN, the difference of two infinities, becomes the lowest too.
        exponent = builder.select(builder.fcmp_ordered("<", lowest, args[0]), args[0], lowest)
        # Added to 2**mantissa_bits, a whole number stands in the lowest bits; -largest becomes 0
        # there, which is the exponent of the number 0. Conversions of 64 bits would be slow.
        shift = _MANTISSA_BITS[dtype]
        moved = builder.fadd(exponent, constant(kind, float(largest + 2**shift)))
        whole = builder.bitcast(moved, integers_type(dtype))
        return builder.bitcast(builder.shl(whole, constant(integers_type(dtype), shift)), kind)

    return lanes(lanes), build


@intrinsic  # type: ignore[untyped-decorator]
def exponent(typing: Any, lanes: Any) -> Any:
    """floor(log2(x)) of normal positive numbers."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        dtype = signature.args[0].dtype
        kind, shift = integers_type(dtype), _MANTISSA_BITS[dtype]
        biased = builder.lshr(builder.bitcast(args[0], kind), constant(kind, shift))
        # As in two_to: under the exponent of 2**shift the whole number is a float already.
        power = constant(kind, (_LARGEST_EXPONENT[dtype] + shift) << shift)
        number = builder.bitcast(builder.or_(biased, power), args[0].type)
        return builder.fsub(
            number, constant(args[0].type, float(2**shift + _LARGEST_EXPONENT[dtype]))
        )

    return lanes(lanes), build


@intrinsic  # type: ignore[untyped-decorator]
def mantissa(typing: Any, lanes: Any) -> Any:
    """x / 2**exponent(x), in [1, 2), of normal positive numbers."""

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        dtype = signature.args[0].dtype
        kind, shift = integers_type(dtype), _MANTISSA_BITS[dtype]
        kept = builder.and_(builder.bitcast(args[0], kind), constant(kind, (1 << shift) - 1))
        one = constant(kind, _LARGEST_EXPONENT[dtype] << shift)
        return builder.bitcast(builder.or_(kept, one), args[0].type)

    return lanes(lanes), build
