"""The runner's side of a task: ``run_task`` drives one long-lived worker process per thread, and replaces it alone.

``run_task`` is a plain function of a plain dictionary, so anything that speaks
``concurrent.futures.Executor`` can carry it: local threads, or a cluster's ``get_executor()``.
"""

from __future__ import annotations

import contextlib
import shlex
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

ATTEMPTS = 2
"""A worker that dies is replaced and its task tried once more: a kill from outside costs a cell nothing."""

PINNED = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
"""What libraries read when they are loaded, to know how many threads to use."""

_SHOW = """\
import importlib.util, sys

class Shown:
    packages = {packages!r}

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name in cls.packages:
            origin, folders = cls.packages[name]
            return importlib.util.spec_from_file_location(name, origin, submodule_search_locations=folders)

sys.meta_path.insert(0, Shown)
"""
# Packages of this environment that a worker in another one may import; nothing else of this one is on its path.
_local = threading.local()
_live: set[Worker] = set()
_closing = threading.Event()


class WorkerDiedError(Exception):
    """The worker ended without an answer: killed, out of memory, over its time, or a crash in native code.

    Attributes:
        final: It went over a limit, so another attempt would end the same way.
    """

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


class Worker:
    """One worker process, with pinned threads and a memory limit.

    Args:
        settings: ``threads``, ``log`` (file), ``memory_mib`` (0: none) and ``python`` (interpreter, None: this one);
            for another environment's interpreter also ``packages``: the top-level packages of this environment that
            it is shown, name -> [file, folders of its modules].
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        import execnet

        self.settings = settings
        self._log = Path(settings["log"])
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._log_start = self._log_size()
        self._ending = threading.Lock()
        self._group = execnet.Group()
        spec = ["popen", "execmodel=main_thread_only", *(f"env:{name}={settings['threads']}" for name in PINNED)]
        if settings.get("python"):
            spec.append(f"python={shlex.quote(settings['python'])} -I")
        show = _SHOW.format(packages=settings["packages"]) if settings.get("packages") else ""
        call = f"serve(channel, {settings['log']!r}, {float(settings['memory_mib'])!r})"
        _live.add(self)
        try:
            with _sigint_blocked():
                gateway = self._group.makegateway("//".join(spec))
            if _closing.is_set():  # whoever closes has looked at _live before this process was there
                raise WorkerDiedError("interrupted")
            self._channel = gateway.remote_exec(f"{show}from ser_bench.worker import serve\n{call}")
            self.pid = int(self._receive(120.0, lambda done, total: None)["ready"])
        except (OSError, EOFError, execnet.HostNotFound) as error:
            self.kill()
            raise WorkerDiedError(f"no worker process could be started: {error!r}") from error
        except BaseException:
            self.kill()
            raise

    def call(self, task: dict[str, Any], timeout_s: float, progress: Callable[[int, int], None]) -> dict[str, Any]:
        """Send a task and return its answer.

        Raises:
            WorkerDiedError: If the process ends, or ``timeout_s`` passes without an answer; the worker is gone then.
        """
        import execnet

        self._log_start = self._log_size()
        try:
            self._channel.send(task)
            return self._receive(timeout_s, progress)
        except execnet.DumpError as error:
            return {"ok": False, "reason": f"a task of plain types expected: {error}"}
        except (OSError, EOFError) as error:
            raise self._ended() from error

    def _receive(self, timeout_s: float, progress: Callable[[int, int], None]) -> dict[str, Any]:
        import time

        deadline = time.monotonic() + timeout_s
        while True:
            try:
                answer = self._channel.receive(max(deadline - time.monotonic(), 0.01))
            except self._channel.TimeoutError:
                raise WorkerDiedError(f"no answer within its time limit of {timeout_s:g} s", final=True) from None
            except self._channel.RemoteError as error:
                raise WorkerDiedError(str(error).strip().splitlines()[-1]) from None
            except (EOFError, OSError):
                raise self._ended() from None
            if "progress" not in answer:
                return answer
            progress(*answer["progress"])

    def _ended(self) -> WorkerDiedError:
        """Return the error of a process that is gone, with the last line that it left since its task began."""
        lines = []
        if self._log.is_file():
            with self._log.open("rb") as log:
                log.seek(self._log_start)
                lines = log.read().decode(errors="replace").strip().splitlines()[-1:]
        told = f"; its last line: {lines[0][:200]}" if lines else ""
        return WorkerDiedError(
            f"the worker process ended without an answer (killed, out of memory or crashed){told}",
            final=bool(lines) and lines[0].startswith("memory limit:"),
        )

    def _log_size(self) -> int:
        return self._log.stat().st_size if self._log.is_file() else 0

    def kill(self) -> None:
        """End the process now, whatever it is doing."""
        _live.discard(self)
        with self._ending:  # its own thread and the one that closes may both come here
            self._group.terminate(timeout=0.1)


@contextlib.contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Let a child inherit a blocked SIGINT: Ctrl-C goes to the whole group, and would reach it half made."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def run_task(task: dict[str, Any], progress: Callable[[int, int], None] = lambda done, total: None) -> dict[str, Any]:
    """Run a task in this thread's worker; replace the worker where it dies or is of another kind.

    Args:
        task: ``task`` names what to do, ``worker`` holds the settings of the process, ``timeout_s`` its limit.
        progress: Called with (done, total) while the task runs.

    Returns:
        The answer: ``ok`` and what the task returns, or ``reason``; ``died`` where it took its worker down.
    """
    message = {key: value for key, value in task.items() if key not in ("worker", "timeout_s")}
    reason, died = "", False
    for _ in range(ATTEMPTS):
        if _closing.is_set():
            return {"ok": False, "reason": "interrupted"}
        try:
            died = False  # a worker that does not even start says nothing about the task
            worker = _worker(task["worker"])
            died = True
            return worker.call(message, task["timeout_s"], progress)
        except WorkerDiedError as error:
            reason = str(error)
            discard_worker()
            if error.final:
                break
    return {"ok": False, "reason": reason, "died": died}


def _worker(settings: dict[str, Any]) -> Worker:
    held: Worker | None = getattr(_local, "worker", None)
    settings = {**settings, "log": f"{settings['log']}-{threading.current_thread().name}.log"}
    if held is None or held.settings != settings:
        discard_worker()
        _local.worker = held = Worker(settings)
    return held


def discard_worker() -> None:
    """End this thread's worker, if it has one."""
    held: Worker | None = getattr(_local, "worker", None)
    if held is not None:
        _local.worker = None
        held.kill()


def close_workers(*executors: Executor) -> None:
    """End all workers of this process at once, and ``executors``; tasks under way answer ``interrupted``."""
    _closing.set()
    try:
        for executor in executors:
            executor.shutdown(wait=False, cancel_futures=True)
        with ThreadPoolExecutor() as killers:  # each takes a moment
            list(killers.map(Worker.kill, list(_live)))
        for executor in executors:  # else a thread that is slow to notice would start another worker
            executor.shutdown(wait=True)
    finally:
        _closing.clear()
