"""The web app: `uvicorn server.app:app`."""

import uvicorn

from openenv.core.env_server.http_server import create_app

try:
    from ..models import QueueAction, QueueObservation
    from .queue_environment import QueueEnvironment
except ImportError:
    from models import QueueAction, QueueObservation
    from server.queue_environment import QueueEnvironment

app = create_app(
    QueueEnvironment,
    QueueAction,
    QueueObservation,
    env_name="alphabet_queue",
)


def main() -> None:
    """Serve it to whoever asks on this machine."""
    uvicorn.run(app, host="127.0.0.1", port=8000)


if __name__ == "__main__":
    main()
