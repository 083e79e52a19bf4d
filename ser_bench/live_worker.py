"""The process side of a live comparison: a saved model asked about one sound file at a time, in this interpreter.

Run by path with either interpreter, so it uses nothing but ``ser_bench.predicting.load_model`` and ``ask``, which the
two versions that are compared have in common. Reads a path per line; answers in JSON.
"""

from __future__ import annotations

import gc
import json
import resource
import sys
import time
from pathlib import Path


def main() -> None:
    """Serve until the input ends: ``{"ready": VERSION}``, then ``{"ms": …, "interrupted": …}`` per path."""
    import ser_bench
    from ser_bench.predicting import ask, load_model

    folder, trust_code = sys.argv[1:]
    answers, sys.stdout = sys.stdout, sys.stderr  # what a model prints is no answer
    model = load_model(Path(folder), trust_code=trust_code == "trust")
    print(json.dumps({"ready": ser_bench.__version__}), file=answers, flush=True)
    for number, line in enumerate(sys.stdin):
        path = json.loads(line)
        interruptions, waited = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw, _waited_s()
        start = time.perf_counter()
        answer = ask(model, path)
        took = time.perf_counter() - start
        ms = (took - (_waited_s() - waited)) * 1000.0
        interrupted = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw > interruptions
        told = {"error": answer.error} if answer.error else {"ms": ms, "interrupted": interrupted}
        print(json.dumps(told), file=answers, flush=True)
        if not number:  # by now everything is loaded
            gc.collect()
            gc.freeze()


def _waited_s() -> float:
    """Return what :func:`ser_bench.timing.waited_s` does, which an older ser-bench lacks."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


if __name__ == "__main__":
    main()
