"""The network cut into stages for pipeline parallelism: consecutive parts, about equally costly.

The parts form one chain: the cover's layers, the title's, the fusion. What goes from part to part
is a tuple of tensors: what has been made of the cover so far, then what has been made of the title.
Covers and tokens themselves do not travel, since every process has the batch.

Source: GPipe, as section 2.2.2 of the paper uses it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from limelight.models.cover_title.encoders import VGG, TitleRNN
from limelight.models.cover_title.inputs import CoverTitleBatch
from limelight.models.cover_title.model import CoverTitle

State = tuple[Tensor, ...]
# From the state before a part to the state behind it.
Run = Callable[[State, CoverTitleBatch], State]


@dataclass(frozen=True, slots=True)
class Part:
    """A piece that stays whole.

    Args:
        cost: multiplications for a video, roughly: parameters times tokens or pixels.
        modules, parameters: what it learns; each parameter of the network is in one part.
    """

    name: str
    run: Run
    cost: int
    modules: tuple[nn.Module, ...] = ()
    parameters: tuple[nn.Parameter, ...] = ()


class Stage(nn.Module):
    """Consecutive parts, as one process runs them; shares its parameters with the network."""

    def __init__(self, parts: Sequence[Part]) -> None:
        super().__init__()
        self._parts = list(parts)
        self.owned = nn.ModuleList([module for part in parts for module in part.modules])
        self.alone = nn.ParameterList([each for part in parts for each in part.parameters])

    def forward(self, *state: Tensor, **inputs: Tensor) -> State | Tensor:
        """The state behind it; the last stage gives the logits."""
        batch = CoverTitleBatch(**inputs, labels=torch.empty(0))
        for part in self._parts:
            state = part.run(state, batch)
        sent = tuple(each.contiguous() for each in state)  # a convolution's need not be
        return sent if len(sent) > 1 else sent[0]


def stages(model: CoverTitle, count: int) -> list[list[Part]]:
    """The parts of each of `count` stages.

    Raises:
        ValueError: more stages than parts.
    """
    parts = [*_cover_parts(model), *_title_parts(model), _fusion(model)]
    if not 1 <= count <= len(parts):
        raise ValueError(
            f"pipeline_stages: found {count}, expected 1 to {len(parts)}: the network has no more"
            " parts"
        )
    return [parts[begin:end] for begin, end in balanced([part.cost for part in parts], count)]


def balanced(costs: Sequence[int], count: int) -> list[tuple[int, int]]:
    """[begin, end) of `count` consecutive groups of which the costliest is as cheap as can be.

    Each has at least one member.
    """
    total = len(costs)
    before = [0]
    for cost in costs:
        before.append(before[-1] + cost)
    # best[n]: the costliest group's cost and the groups of the first n members.
    best: list[tuple[int, list[tuple[int, int]]]] = [
        (before[n], [(0, n)]) for n in range(total + 1)
    ]
    for groups in range(2, count + 1):
        best = [
            min(
                (
                    (max(best[cut][0], before[end] - before[cut]), [*best[cut][1], (cut, end)])
                    for cut in range(groups - 1, end)
                ),
                default=(before[-1] + 1, []),
            )
            for end in range(total + 1)
        ]
    return best[total][1]


def _cover_parts(model: CoverTitle) -> list[Part]:
    encoder, head = model.cover_encoder, model.cover_head if model.cover_encoder else None
    if encoder is None or head is None:
        return []
    if isinstance(encoder, VGG):
        return _vgg_parts(encoder, head, int(model.config.image_size))
    patches = encoder.embeddings.patch_embeddings.num_patches
    parts = [
        Part(
            "cover: patches",
            _first(encoder.embeddings),
            _count(encoder.embeddings.patch_embeddings) * patches,
            (encoder.embeddings,),
        )
    ]
    for number, layer in enumerate(encoder.layers):
        cost = _count(layer) * (patches + 1)
        parts.append(Part(f"cover: layer {number}", _layer(layer), cost, (layer,)))
    run = _on_last(lambda last, batch: head(encoder.layernorm(last)[:, 0]))
    return [*parts, Part("cover: head", run, _count(head), (encoder.layernorm, head))]


def _vgg_parts(encoder: VGG, head: nn.Module, size: int) -> list[Part]:
    parts: list[Part] = []
    block: list[nn.Module] = []
    side = size
    for layer in encoder.features:
        block.append(layer)
        if not isinstance(layer, nn.MaxPool2d):
            continue
        whole = nn.Sequential(*block)
        cost = _count(whole) * side * side
        run = _layer(whole) if parts else _first(whole)
        parts.append(Part(f"cover: block {len(parts)}", run, cost, (whole,)))
        block, side = [], side // 2
    run = _on_last(lambda last, batch: head(encoder.top(last)))
    top = (encoder.classifier, head)
    return [*parts, Part("cover: head", run, sum(map(_count, top)), top)]


def _title_parts(model: CoverTitle) -> list[Part]:
    encoder, head = model.title_encoder, model.title_head if model.title_encoder else None
    if encoder is None or head is None:
        return []
    tokens = int(model.config.max_title_tokens)
    if isinstance(encoder, TitleRNN):
        whole: Run = lambda state, batch: (  # noqa: E731
            *_kept(state),
            head(encoder(batch.token_ids, batch.token_mask)),
        )
        return [Part("title", whole, _count(encoder.rnn) * tokens, (encoder, head))]
    parts = [
        Part(
            "title: tokens",
            lambda state, batch: (*_kept(state), encoder.embeddings(batch.token_ids)),
            0,
            (encoder.embeddings,),
        )
    ]
    for number, layer in enumerate(encoder.encoder.layer):
        cost = _count(layer) * tokens
        parts.append(Part(f"title: layer {number}", _masked_layer(layer), cost, (layer,)))
    run = _on_last(lambda last, batch: head(encoder.pooler(last)))
    last_part = (encoder.pooler, head)
    return [*parts, Part("title: head", run, sum(map(_count, last_part)), last_part)]


def _fusion(model: CoverTitle) -> Part:
    looks, reads = model.cover_encoder is not None, model.title_encoder is not None

    def run(state: State, batch: CoverTitleBatch) -> State:
        cover = state[0] if looks else None
        title = state[-1] if reads else None
        return (model.fuse(cover, title, batch.has_cover, batch.has_title),)

    absent = ([model.no_cover] if looks else []) + ([model.no_title] if reads else [])
    return Part("fusion", run, _count(model.classifier), (model.classifier,), tuple(absent))


def _first(module: nn.Module) -> Run:
    return lambda state, batch: (*state, module(batch.pixels))


def _layer(module: nn.Module) -> Run:
    return _on_last(lambda last, batch: module(last))


def _masked_layer(module: nn.Module) -> Run:
    return _on_last(lambda last, batch: module(last, _hidden(batch.token_mask, last.dtype)))


def _on_last(run: Callable[[Tensor, CoverTitleBatch], Tensor]) -> Run:
    return lambda state, batch: (*_kept(state[:-1]), run(state[-1], batch))


def _kept(state: State) -> State:
    """What only passes through, as tensors of its own: a stage's outputs are not its inputs."""
    return tuple(each.clone() for each in state)


def _hidden(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """(B, 1, 1, K) what is added to attention: nothing, or so little that nothing is left."""
    return (~mask)[:, None, None, :].to(dtype) * torch.finfo(dtype).min


def _count(module: Any) -> int:
    return sum(each.numel() for each in module.parameters())
