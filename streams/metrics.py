"""Prometheus metrics of worker and engine: units in the names, never a room as a label."""

import logging
from functools import cache

from prometheus_client import Counter, Gauge, Histogram, start_http_server

from limelight.streams.settings import MetricsSettings

logger = logging.getLogger(__name__)

_LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

# What was read is accounted for: events = windowed + open + late + dead letters + repeated + handed
# back, for each topic of the assembler.
events_total = Counter("limelight_events_total", "Source entries read", ["modality"])
windowed_total = Counter(
    "limelight_windowed_total", "Source entries in delivered windows", ["modality"]
)
entries_open = Gauge(
    "limelight_entries_open", "Source entries waiting for their window's delivery", ["modality"]
)
handed_back_total = Counter(
    "limelight_handed_back_total", "Source entries left for another worker to read", ["modality"]
)
late_total = Counter("limelight_late_total", "Events behind their own watermark", ["modality"])
repeated_total = Counter("limelight_repeated_total", "Entries or results seen before", ["topic"])
capped_total = Counter(
    "limelight_comments_capped_total", "Comments of a flood, counted and not kept", ["by"]
)
dead_letters_total = Counter("limelight_dead_letters_total", "Messages rejected", ["topic"])
segments_total = Counter("limelight_segments_total", "Segments closed")
missing_total = Counter("limelight_segments_missing_total", "Segments without it", ["modality"])
watermark_behind_seconds = Gauge(
    "limelight_watermark_behind_seconds",
    "Wall clock minus the slowest partition's mark; negative for a source that is ahead",
    ["modality"],
)
rooms_active = Gauge("limelight_rooms_active", "Rooms with open or recent segments")
unacknowledged = Gauge("limelight_windows_in_flight", "Windows sent and not yet confirmed")
frames_encoded_total = Counter("limelight_frames_encoded_total", "Pictures encoded")
scores_total = Counter("limelight_scores_total", "Windows scored", ["decided_by"])
score_latency_seconds = Histogram(
    "limelight_close_to_score_seconds", "Segment close to score", buckets=_LATENCY_BUCKETS
)
engine_batch_windows = Histogram(
    "limelight_engine_batch_windows",
    "Windows in a batch",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
)
deadlines_missed_total = Counter(
    "limelight_deadlines_missed_total", "Scores later than engine.deadline_ms after the close"
)
prefills_total = Counter("limelight_prefills_total", "Windows scored from the whole window")
evicted_total = Counter(
    "limelight_rooms_evicted_total", "Rooms that lost their cache slot to another room"
)
windows_waiting = Gauge("limelight_windows_waiting", "Windows waiting for their batch")
models_refused_total = Counter(
    "limelight_models_refused_total", "Models of the topic that could not be used", ["role"]
)
log_rows_total = Counter("limelight_log_rows_total", "Rows written to the feature log")
log_rejected_total = Counter(
    "limelight_log_rejected_total", "Records that no row could be made of", ["dataset"]
)
log_failures_total = Counter(
    "limelight_log_failures_total", "Times that a file of the feature log could not be written"
)
comment_lag_seconds = Histogram(
    "limelight_comment_lag_seconds",
    "How far rooms' comments run behind their picture, where that shows",
    buckets=(2, 4, 6, 8, 10, 12, 15, 20, 25, 30),
)
highlights_total = Counter("limelight_highlights_total", "Highlight events", ["kind"])
enrichments_total = Counter(
    "limelight_enrichments_total", "Closed highlights enriched", ["outcome"]
)
enrichment_seconds = Histogram(
    "limelight_enrichment_seconds",
    "Making one highlight's clip, covers and so on",
    buckets=(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0),
)
retraining_runs_total = Counter(
    "limelight_retraining_runs_total", "Retraining runs that ended", ["outcome"]
)
pushes_total = Counter("limelight_pushes_total", "Push attempts", ["outcome"])
push_latency_seconds = Histogram(
    "limelight_close_to_delivery_seconds", "Segment close to delivery", buckets=_LATENCY_BUCKETS
)


@cache
def counter(family: Counter, label: str) -> Counter:
    """The family's counter of one label; `labels` looks it up anew each time, for 2 us."""
    return family.labels(label)


def serve(settings: MetricsSettings) -> None:
    """Start the metrics server unless its port is 0; it also answers the health check."""
    if settings.port:
        try:
            start_http_server(settings.port, addr=settings.host)
        except OSError as error:
            raise OSError(
                error.errno,
                f"metrics.port {settings.port}: found it taken on {settings.host}, expected a free"
                " port (LIMELIGHT_METRICS_PORT)",
            ) from error
        logger.info("metrics server started", extra={"port": settings.port})
