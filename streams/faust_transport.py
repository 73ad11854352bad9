"""Faust's Kafka transport with a fetch wait of our choosing.

Faust asks the broker to hold an empty fetch for 1.5 s, and offers no setting for it. Kafka answers
as soon as there is data, so there it costs nothing. The embedded broker looks again only now and
then, which made each hop through Faust take about 0.7 s.
"""

from typing import Any

from faust import App
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport


class _ConsumerThread(AIOKafkaConsumerThread):  # type: ignore[misc]
    fetch_max_wait_ms = 500

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Read when the consumer starts, which is after this.
        consumer._fetch_max_wait_ms = self.fetch_max_wait_ms
        return consumer


def kafka_transport(app: App, fetch_max_wait_ms: int) -> Transport:
    """The app's transport; its consumer asks for an answer within `fetch_max_wait_ms`."""

    class ConsumerThread(_ConsumerThread):
        pass

    ConsumerThread.fetch_max_wait_ms = fetch_max_wait_ms

    class PromptConsumer(Consumer):  # type: ignore[misc]
        def _new_consumer_thread(self) -> ConsumerThread:
            return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    class PromptTransport(Transport):  # type: ignore[misc]
        pass

    PromptTransport.Consumer = PromptConsumer
    return PromptTransport(app.conf.broker_consumer, app)
