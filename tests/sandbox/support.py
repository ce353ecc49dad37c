"""What the sandbox tests share."""

from graders.sandbox import Limits, Mount, Spec


def spec(code: str, *mounts: Mount, **limits: float) -> Spec:
    """A spec that runs `code` under the interpreter inside."""
    bounded = Limits(**({"seconds": 30.0} | limits))
    return Spec("test-job", ("python3", "-I", "-c", code), mounts, bounded)
