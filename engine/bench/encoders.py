"""Pictures and texts a second through the engine's encoders, against one after the other."""

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from limelight.engine.bench.ceilings import Ceilings, name_of
from limelight.engine.bench.made_up import DISTRIBUTION, Text, drawn_pictures, drawn_texts
from limelight.engine.bench.plan import Plan
from limelight.engine.bench.random_encoders import bert, swin_base
from limelight.engine.bench.report import Row, Section, waiting
from limelight.engine.bench.timing import Timing, interleaved
from limelight.engine.encoders import load_frame_encoder, load_text_encoder
from limelight.engine.frame_encoder import FrameEncoder
from limelight.engine.text_encoder import TextEncoder

# Of the large ones a CPU does a few a second.
_CPU_PART = 8
_TEXTS_A_CALL = 1_024
_GPU_TARGET = ">= 60 % of the rate, >= 3x"
_WITHOUT_QUICK = "a run without --quick"


def measure(plan: Plan, ceilings: Ceilings) -> list[Section]:
    real = [] if plan.texts is None else _read_texts(plan.texts)
    texts = list(islice(drawn_texts(0), plan.texts_drawn))
    rows = [*_frame_rows(plan, ceilings), *_text_rows(plan, ceilings, texts)]
    if plan.texts is not None:
        rows.append(_padding_row(plan, plan.texts, real))
    if not plan.on_cuda:
        rows += [
            waiting({"what": f"{name} in bfloat16", "target": _GPU_TARGET}, "a GPU")
            for name in ("Swin-B", "BERT-large")
        ]
    note = (
        f"{name_of(plan.dtype)} for the large ones, float32 for tiny on a CPU. Naive: each by "
        "itself, eager, its feature read back before the next one goes. FLOPs are counted for "
        "each picture and for each text of its own length, so padding counts as time only. "
        f"Texts: {DISTRIBUTION}."
    )
    return [Section("encoders", "Encoders", tuple(rows), note)]


def _frame_rows(plan: Plan, ceilings: Ceilings) -> list[Row]:
    rows = []
    tiny = load_frame_encoder("tiny", device=plan.device, dtype=plan.dtype)
    rows.append(_frames(plan, ceilings, "tiny Swin", tiny, plan.pictures))
    if not plan.large_encoders:
        return [*rows, waiting({"what": "Swin-B"}, _WITHOUT_QUICK)]
    count = plan.pictures if plan.on_cuda else max(1, plan.pictures // _CPU_PART)
    encoder = swin_base(plan.device, plan.dtype)
    target = _GPU_TARGET if plan.on_cuda else ""
    return [*rows, {**_frames(plan, ceilings, "Swin-B", encoder, count), "target": target}]


def _frames(plan: Plan, ceilings: Ceilings, name: str, encoder: FrameEncoder, count: int) -> Row:
    pictures = drawn_pictures(count, *encoder.image_size)
    encoder.warm_up()
    some = pictures[: _naive_count(plan, count)]

    @torch.inference_mode()
    def naive() -> None:
        for picture in some:
            _one_picture(encoder, picture)

    timings = interleaved(
        {"engine": lambda: encoder.encode(pictures), "naive": naive}, repeats=_repeats(plan)
    )
    flops = count * encoder.flops_per_picture()
    return _row(
        f"{name}, {count:,} pictures", timings, count, len(some), flops, ceilings, plan.dtype
    )


def _one_picture(encoder: FrameEncoder, picture: NDArray[np.uint8]) -> Sequence[float]:
    model = encoder.model
    pixels = torch.from_numpy(picture).to(model.device).permute(2, 0, 1)[None].float() / 255
    pixels = (pixels - encoder.mean) / encoder.std
    output = model(pixel_values=pixels.to(model.dtype))
    found: list[float] = output.pooler_output.half().cpu().tolist()
    return found


def _text_rows(plan: Plan, ceilings: Ceilings, texts: list[Text]) -> list[Row]:
    tiny = load_text_encoder("tiny", device=plan.device, dtype=plan.dtype)
    rows = [_encoded(plan, ceilings, "tiny BERT", tiny, texts)]
    size = "BERT-large" if plan.on_cuda else "BERT-base"
    if not plan.large_encoders:
        return [*rows, waiting({"what": size}, _WITHOUT_QUICK)]
    layers, hidden_size = (24, 1024) if plan.on_cuda else (12, 768)
    encoder = bert(plan.device, plan.dtype, layers=layers, hidden_size=hidden_size)
    some = texts if plan.on_cuda else texts[: max(1, len(texts) // _CPU_PART)]
    target = _GPU_TARGET if plan.on_cuda else ""
    return [*rows, {**_encoded(plan, ceilings, size, encoder, some), "target": target}]


def _encoded(
    plan: Plan, ceilings: Ceilings, name: str, encoder: TextEncoder, texts: list[Text]
) -> Row:
    encoder.warm_up()
    some = texts[: _naive_count(plan, len(texts))]
    given, padded = encoder.tokens_given, encoder.tokens_padded

    def engine() -> None:
        for start in range(0, len(texts), _TEXTS_A_CALL):
            encoder.encode(texts[start : start + _TEXTS_A_CALL])

    engine()
    given, padded = encoder.tokens_given - given, encoder.tokens_padded - padded
    tokenized = _tokenizer(encoder)

    @torch.inference_mode()
    def naive() -> None:
        for text in some:
            _one_text(encoder, tokenized(text))

    timings = interleaved({"engine": engine, "naive": naive}, repeats=_repeats(plan))
    lengths = (encoder.token_ids(texts) != 0).sum(axis=1)
    flops = _text_flops(encoder, lengths)
    row = _row(
        f"{name}, {len(texts):,} texts",
        timings,
        len(texts),
        len(some),
        flops,
        ceilings,
        plan.dtype,
    )
    return {
        **row,
        "tokens, mean": float(lengths.mean()),
        "padding %": 100 * padded / given,
    }


def _tokenizer(encoder: TextEncoder) -> Callable[[Text], torch.Tensor]:
    """(1, L) int64 of one text, without padding."""

    def tokenized(text: Text) -> torch.Tensor:
        ids = encoder.token_ids([text])
        return torch.from_numpy(ids[:, : int((ids != 0).sum())].astype(np.int64))

    return tokenized


def _one_text(encoder: TextEncoder, tokens: torch.Tensor) -> Sequence[float]:
    model = encoder.model
    separator = encoder.separator_id
    # Behind the first separator the comments begin.
    types = ((tokens == separator).cumsum(1) - (tokens == separator).long()).clamp(max=1)
    output = model(
        input_ids=tokens.to(model.device),
        token_type_ids=types.to(model.device),
        attention_mask=torch.ones_like(tokens).to(model.device),
    )
    found: list[float] = output.last_hidden_state[:, 0].float().cpu().tolist()
    return found


def _text_flops(encoder: TextEncoder, lengths: NDArray[np.int64]) -> float:
    """Of all texts. A text's FLOPs are c + a L + b L^2, so three lengths give them all."""
    known = np.array([8, 16, 32])
    flops = [encoder.flops_per_text(int(length)) for length in known]
    polynomial = np.polyfit(known, flops, 2)
    return float(np.polyval(polynomial, lengths).sum())


def _row(
    what: str,
    timings: dict[str, Timing],
    count: int,
    naive_count: int,
    flops: float,
    ceilings: Ceilings,
    dtype: torch.dtype,
) -> Row:
    engine, naive = timings["engine"], timings["naive"]
    rate = 1000 * flops / engine.min_ms
    return {
        "what": what,
        "min ms": engine.min_ms,
        "median ms": engine.median_ms,
        "a second": 1000 * count / engine.min_ms,
        "naive a second": 1000 * naive_count / naive.min_ms,
        "faster, by minimum": naive.min_ms / naive_count * count / engine.min_ms,
        "faster, by median": naive.median_ms / naive_count * count / engine.median_ms,
        "GFLOP each": flops / count / 1e9,
        "GFLOP/s": rate / 1e9,
        "of matrix rate %": 100 * rate / ceilings.flops_per_s[dtype],
    }


def _naive_count(plan: Plan, count: int) -> int:
    """One after the other takes long on a GPU, and is the same for each."""
    return min(count, 128) if plan.on_cuda else count


def _repeats(plan: Plan) -> int:
    return max(2, plan.repeats // 4)


def _padding_row(plan: Plan, path: Path, texts: list[Text]) -> Row:
    """How much of real texts' batches is padding; all of them come at once."""
    encoder = load_text_encoder("tiny", device=plan.device, dtype=plan.dtype)
    encoder.encode(texts)
    kept = encoder.tokens_given - encoder.tokens_padded
    return {
        "what": f"{path.name}: {len(texts):,} texts",
        "tokens, mean": kept / len(set(texts)),
        "padding %": 100 * encoder.tokens_padded / encoder.tokens_given,
        "target": "padding < 10 %",
    }


def _read_texts(path: Path) -> list[Text]:
    """Of each line speech and comments, tabs between.

    Raises:
        ValueError: there is no text in it.
    """
    texts = []
    for line in path.read_text(encoding="utf-8").splitlines():
        speech, *comments = line.split("\t")
        if speech.strip() or any(comment.strip() for comment in comments):
            texts.append((speech, tuple(comments)))
    if not texts:
        raise ValueError(f"{path}: found no text, expected speech and comments, tabs between")
    return texts
