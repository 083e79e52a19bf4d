"""Python environments of their own, for plug-ins that can't live beside the others: described, built, found, removed.

A plug-in that needs old versions names an :class:`Environment`; its models then run in workers that are started with
that environment's interpreter, and see ser-bench and the plug-in's own package, nothing else of the main environment.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.resources
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ser_bench import registry
from ser_bench.errors import PrerequisiteError, UsageError
from ser_bench.store import digest, write_atomically

_MARKER = "ser-bench.json"
# What a user sets for the main environment, and what would break exact pins or leak packages in.
_UNSET = ("PIP_CONSTRAINT", "PIP_TARGET", "PIP_USER", "UV_CONSTRAINT", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
_LISTING = """\
import importlib.metadata, json, platform
found = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions()}
print(json.dumps({"python": platform.python_version(), "packages": found}))"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What is known of an environment before it is built; registered under ``ser_bench.environments``.

    Attributes:
        name: What model specs call it.
        title: One line for lists.
        lock: ``package:file`` of its lock: requirements with exact pins, complete, since no dependency is resolved.
        pythons: The minor versions that the lock is for.
    """

    name: str
    title: str
    lock: str
    pythons: tuple[str, ...] = ("3.11", "3.12")

    @property
    def lock_text(self) -> str:
        """The lock's content."""
        package, _, file = self.lock.partition(":")
        return importlib.resources.files(package).joinpath(file).read_text(encoding="utf-8")

    @property
    def lock_digest(self) -> str:
        """A digest of the lock: with another one the environment is built anew."""
        return digest(self.lock_text)[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """An environment that is there, whole.

    Attributes:
        name: Its name.
        folder: Where it lies.
        lock_digest: Of the lock that it was built from.
        python: The version of its interpreter.
        packages: Distribution -> version, as installed; names in lower case with hyphens.
    """

    name: str
    folder: Path
    lock_digest: str
    python: str
    packages: dict[str, str]

    def versions(self, names: Iterable[str]) -> dict[str, str]:
        """Return name -> version of those of ``names`` that are installed there, sorted."""
        return {n: self.packages[_normal(n)] for n in sorted(set(names)) if _normal(n) in self.packages}

    def worker(self, factory: str) -> dict[str, Any]:
        """Return the settings of workers that run a plug-in there.

        Args:
            factory: ``module:callable`` of the model; its top-level package is shown to the worker, beside ser_bench.
        """
        shown = {}
        for name in ("ser_bench", factory.partition(":")[0].partition(".")[0]):
            spec = importlib.util.find_spec(name)
            if spec is not None and spec.origin is not None:
                folders = spec.submodule_search_locations
                shown[name] = [spec.origin, None if folders is None else list(folders)]
        return {"python": str(_interpreter(self.folder)), "packages": shown}


def environments_folder() -> Path:
    """Return where environments lie: the user's data folder (``SER_BENCH_ENVS`` overrides it)."""
    override = os.environ.get("SER_BENCH_ENVS")
    if override:
        return Path(override).resolve()
    import platformdirs

    return Path(platformdirs.user_data_dir("ser-bench")) / "envs"


def find(name: str) -> Built | None:
    """Return the environment as it was built from the lock that is there now; None where it was not.

    Raises:
        UsageError: If nobody describes it.
        PrerequisiteError: If its description can't be imported.
    """
    environment = registry.load("environments", name)
    return _read(name, environment.lock_digest, _folder(name, environment))


def create(name: str, *, python: str | None = None, quiet: bool = False) -> Built:
    """Build an environment from its lock, with uv where it is there, else pip; what is there already is kept.

    A virtual environment knows its own place, so it is built there, and what makes it count is written last.

    Args:
        name: Its name.
        python: The interpreter to build on; None: this one if it fits, else one on the PATH.
        quiet: Whether the installer shall say nothing on stderr.

    Raises:
        UsageError: If nobody describes it, or ``python`` is a version that its lock is not for.
        PrerequisiteError: If no fitting interpreter is there, another process builds it, or the installer fails.
    """
    environment = registry.load("environments", name)
    folder = _folder(name, environment)
    with _locked(name):
        there = find(name)
        if there is not None:
            return there
        base = _fitting(environment, python)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            for command in _commands(base, folder, environment, quiet):
                _run(command, name, quiet)
            told = json.loads(_output([str(_interpreter(folder)), "-I", "-c", _LISTING]) or "{}")
            packages = {_normal(n): version for n, version in sorted(told["packages"].items())}
            write_atomically(folder / _MARKER, json.dumps({**told, "packages": packages}, indent=1).encode())
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        for old in folder.parent.iterdir():  # of other locks
            if old.is_dir() and old != folder:
                shutil.rmtree(old, ignore_errors=True)
        built = find(name)
        assert built is not None
        return built


def remove(name: str) -> bool:
    """Remove an environment, of whatever lock; return whether anything was there.

    Raises:
        UsageError: If nobody describes it.
        PrerequisiteError: If another process builds it.
    """
    parent = _folder(name, registry.load("environments", name)).parent
    if not parent.is_dir():
        return False
    with _locked(name):
        shutil.rmtree(parent)
    return True


def missing_reason(name: str) -> str:
    """Return why a row is skipped whose environment is not there, with the command that mends it."""
    return f"needs the environment {name}: ser-bench env create {name}"


def _folder(name: str, environment: Environment) -> Path:
    return environments_folder() / name / environment.lock_digest


def _interpreter(folder: Path) -> Path:
    return folder / "bin" / "python"


def _read(name: str, lock_digest: str, folder: Path) -> Built | None:
    if not (folder / _MARKER).is_file() or not _interpreter(folder).exists():  # its base may have been removed
        return None
    told = json.loads((folder / _MARKER).read_bytes())
    return Built(
        name=name, folder=folder, lock_digest=lock_digest, python=told["python"], packages=dict(told["packages"])
    )


@contextlib.contextmanager
def _locked(name: str) -> Iterator[None]:
    path = environments_folder() / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise PrerequisiteError(
                f"the environment {name} is being built or removed by another process", hint="wait for it"
            ) from None
        yield


def _fitting(environment: Environment, python: str | None) -> str:
    """Return an interpreter that the lock is for."""
    wanted = " or ".join(environment.pythons)
    if python is not None:
        version = _version(python)
        if version not in environment.pythons:
            raise UsageError(
                f"--python {python}: {f'Python {version}' if version else 'no interpreter'}; the environment "
                f"{environment.name} needs Python {wanted}",
                hint=f"ser-bench env create {environment.name} --python python{environment.pythons[0]}",
            )
        return python
    named = [f"python{version}" for version in environment.pythons]
    for candidate in (sys.executable, *filter(None, map(shutil.which, named))):
        if _version(candidate) in environment.pythons:
            return candidate
    raise PrerequisiteError(
        f"the environment {environment.name} needs Python {wanted}; this is Python "
        f"{sys.version_info.major}.{sys.version_info.minor}, and no {' or '.join(named)} that runs is on the PATH",
        hint=f"ser-bench env create {environment.name} --python /path/to/{named[0]}",
    )


def _version(python: str) -> str | None:
    """Return the minor version of an interpreter; None where ``python`` is none, or does not run."""
    return _output([python, "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"])


def _output(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=_surroundings())
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _commands(base: str, folder: Path, environment: Environment, quiet: bool) -> Iterator[list[str]]:
    """Yield the commands that build an environment; the lock is laid beside what it is for."""
    uv = shutil.which("uv")
    little = ["--quiet"] if quiet else []
    yield [uv, "venv", *little, "--python", base, str(folder)] if uv else [base, "-I", "-m", "venv", str(folder)]
    lock = folder / "requirements.txt"
    lock.write_text(environment.lock_text, encoding="utf-8")
    python = str(_interpreter(folder))
    install = [uv, "pip", "install", "--python", python] if uv else [python, "-I", "-m", "pip", "install"]
    yield [*install, *little, "--no-deps", "--requirement", str(lock)]


def _run(command: list[str], name: str, quiet: bool) -> None:
    """Run an installer; what it says goes to stderr, where its own progress bars show."""
    try:
        done = subprocess.run(command, stdout=subprocess.DEVNULL if quiet else 2, env=_surroundings(), check=False)
        failed = done.returncode != 0 and f"ended with {done.returncode}"
    except OSError as error:
        failed = str(error)
    if failed:
        raise PrerequisiteError(
            f"the environment {name} can't be built: {' '.join(command[:5])} … {failed}",
            hint=f"ser-bench env create {name}   (when what it says above is mended)",
        )


def _surroundings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in _UNSET}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


FEATUREWIZ = Environment(
    name="featurewiz",
    title="featurewiz 0.6.1 with what it forces: numpy 1.26, scikit-learn 1.5, xgboost 1.7, TensorFlow; 2.4 GB",
    lock="ser_bench.models:featurewiz.txt",
)
