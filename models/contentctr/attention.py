"""The one attention of ContentCTR, and the two layers that are made of it.

Shape letters as in `model.py`; Q and K here are any numbers of queries and keys.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from limelight.models.contentctr.config import ContentCTRConfig


class Attention(nn.Module):
    """Multi-head attention (eq. 3-4), in steps, so that a caller may keep keys and values."""

    def __init__(self, config: ContentCTRConfig) -> None:
        super().__init__()
        self.heads = (config.num_heads, config.head_dim)
        width = config.num_heads * config.head_dim
        self.query = nn.Linear(config.hidden_size, width, bias=False)
        self.key = nn.Linear(config.hidden_size, width, bias=False)
        self.value = nn.Linear(config.hidden_size, width, bias=False)
        self.output = nn.Linear(width, config.hidden_size, bias=False)
        self.dropout = config.dropout

    def queries(self, x: Tensor) -> Tensor:
        """(B, H, S, D) from (B, S, C)."""
        return self._split_heads(self.query(x))

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Two (B, H, S, D) from (B, S, C)."""
        return self._split_heads(self.key(x)), self._split_heads(self.value(x))

    def attend(self, queries: Tensor, keys: Tensor, values: Tensor, visible: Tensor) -> Tensor:
        """(B, S, C) for S queries over any number of keys; `visible` broadcasts to (B, H, S, keys).

        Every query must see at least one key: a row of only False has no defined softmax.
        """
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(queries, keys, values, visible, dropout)
        output: Tensor = self.output(mixed.transpose(1, 2).flatten(2))  # (B, S, H*D) -> (B, S, C)
        return output

    def _split_heads(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], *self.heads).transpose(1, 2)  # (B, S, H*D) -> (B, H, S, D)


class FeedForward(nn.Sequential):
    def __init__(self, config: ContentCTRConfig) -> None:
        super().__init__(
            nn.Linear(config.hidden_size, config.ffn_size),
            nn.GELU(),
            nn.Linear(config.ffn_size, config.hidden_size),
        )


class FusionLayer(nn.Module):
    """Queries read keys, then a feed-forward part; both with residual connections (algorithm 1)."""

    def __init__(self, config: ContentCTRConfig) -> None:
        super().__init__()
        self.query_norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.key_norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.attention = Attention(config)
        self.ffn_norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.ffn = FeedForward(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, others: Tensor, visible: Tensor) -> Tensor:
        """(B, Q, C) from x (B, Q, C), others (B, K, C), visible (B, 1, 1, K) bool."""
        keys, values = self.attention.keys_values(self.key_norm(others))
        queries = self.attention.queries(self.query_norm(x))
        x = x + self.dropout(self.attention.attend(queries, keys, values, visible))
        fed: Tensor = self.dropout(self.ffn(self.ffn_norm(x)))
        return x + fed


class DecoderLayer(nn.Module):
    """One turn of algorithm 2. `project` and `attend` are apart for the incremental decoder."""

    def __init__(self, config: ContentCTRConfig) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.attention = Attention(config)
        self.ffn_norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.ffn = FeedForward(config)
        self.dropout = nn.Dropout(config.dropout)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each (B, H, S, D), of x (B, S, C)."""
        normed = self.attention_norm(x)
        return self.attention.queries(normed), *self.attention.keys_values(normed)

    def attend(
        self, x: Tensor, queries: Tensor, keys: Tensor, values: Tensor, visible: Tensor
    ) -> Tensor:
        """(B, S, C): x with attention and feed-forward added, given what `project` returned."""
        x = x + self.dropout(self.attention.attend(queries, keys, values, visible))
        fed: Tensor = self.dropout(self.ffn(self.ffn_norm(x)))
        return x + fed

    def forward(self, x: Tensor, visible: Tensor) -> Tensor:
        return self.attend(x, *self.project(x), visible)
