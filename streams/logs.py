"""Logging of a process: one line a message, ids as fields, secrets already masked."""

import logging

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "data"}


class _FieldFormatter(logging.Formatter):
    """Appends what was passed as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        fields = [
            f"{name}={value}" for name, value in vars(record).items() if name not in _STANDARD
        ]
        return f"{text} {' '.join(fields)}" if fields else text


def configure(level: str) -> None:
    """Log to standard error from `level` on; the libraries underneath only from WARNING on."""
    handler = logging.StreamHandler()
    handler.setFormatter(_FieldFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in (
        "faust",
        "mode",
        "aiokafka",
        "httpx",
        "transformers",
        "numba",
        "kafka",
        "faiss",
        "gensim",
    ):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelName(level)))
