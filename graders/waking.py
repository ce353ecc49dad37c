"""What goes to the broker: messages that wake workers of a queue, and carry nothing else.

A lost one costs time only. `jobs.top_up` and the sweeper see to it that as many messages wait as
there could be free workers, never one for each job of a long queue again and again.
"""

import logging

from celery import current_app
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)

WORK = "graders.work"


def wake(queue: str, times: int = 1) -> bool:
    """Send messages to a queue. False if the broker does not answer; the sweeper sends later."""
    try:
        for _ in range(times):
            current_app.send_task(WORK, [queue], queue=queue, retry=False)
    except OperationalError:
        logger.warning("The broker does not answer; the sweeper will wake %s again.", queue)
        return False
    return True


def waiting(queue: str) -> int | None:
    """How many messages of a queue no worker has taken yet. None if the broker does not answer."""
    with current_app.connection_for_write() as broker:
        try:
            found = broker.default_channel.queue_declare(queue=queue, passive=True)
        except broker.channel_errors:
            return 0  # There is no such queue: nothing was ever sent, or all was forgotten.
        except (OperationalError, *broker.connection_errors):
            logger.warning("The broker does not answer; the sweeper will wake %s later.", queue)
            return None
        return int(found.message_count)
