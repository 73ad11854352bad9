"""Arranged weights give what torch's own layers give."""

import pytest
import torch
import torch.nn.functional as F

from limelight.engine.packed_linear import PackedLinear


@pytest.mark.parametrize("rows", [(0,), (1,), (64,), (3, 5)])
@pytest.mark.parametrize(("inputs", "outputs"), [(16, 48), (512, 1536), (48, 16)])
@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize("has_bias", [False, True])
def test_it_equals_torch(
    rows: tuple[int, ...], inputs: int, outputs: int, gelu: bool, has_bias: bool
) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(*rows, inputs, generator=generator)
    weight = torch.randn(outputs, inputs, generator=generator)
    bias = torch.randn(outputs, generator=generator) if has_bias else None
    expected = F.linear(x.double(), weight.double(), None if bias is None else bias.double())
    expected = F.gelu(expected) if gelu else expected
    found = PackedLinear(weight, bias, gelu=gelu)(x)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)


def test_rows_that_lie_apart_are_read_as_they_are() -> None:
    x = torch.randn(16, 8, generator=torch.Generator().manual_seed(0)).t()
    weight = torch.randn(32, 16, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(PackedLinear(weight)(x), F.linear(x, weight), rtol=1e-5, atol=1e-5)
