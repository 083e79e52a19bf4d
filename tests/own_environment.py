"""A stranger's package with an environment of its own, built in seconds and offline: old wheels, made here.

Its interpreter is this one. Its numpy is this one's too, by a path file in a wheel, but nothing else is.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

MODEL = """
import importlib.metadata
import importlib.util

import numpy as np

from ser_bench.models.contract import ModelSpec, Prediction


class OldMean:
    def __init__(self, only=None):
        import relic

        self.chosen, self.facts = {}, {"selected": only} if only else {}

    def fit(self, train, dev, context):
        leaked = [name for name in ("sklearn", "librosa", "bystander") if importlib.util.find_spec(name)]
        if leaked:
            raise RuntimeError(f"{leaked} can be imported here")
        self.present = np.unique(train.targets)
        self.means = np.stack([train.values[train.targets == k].mean(axis=0) for k in self.present])

    def predict(self, examples):
        apart = ((examples.values[:, None] - self.means) ** 2).sum(axis=2)
        return Prediction(labels=self.present[apart.argmin(axis=1)].astype(np.int64))


OLD_MEAN = ModelSpec(
    name="old-mean",
    title="the nearest class mean, as it was",
    family="neighbours",
    framework="relic",
    factory="oldbox.model:OldMean",
    environment="oldbox",
    requires=("relic",),
    narrows=True,
    seeded=False,
    packages=("numpy", "relic", "scikit-learn"),
)
"""

ENVIRONMENT = """
from ser_bench.environments import Environment

OLDBOX = Environment(name="oldbox", title="relic, which left long ago", lock="oldbox:lock.txt", pythons=({minor!r},))
"""

ENTRY_POINTS = """\
[ser_bench.models]
old-mean = oldbox.model:OLD_MEAN

[ser_bench.environments]
oldbox = oldbox.environment:OLDBOX
"""


def write_package(folder: Path, minor: str) -> Path:
    """Write the installed package ``oldbox`` below ``folder``, and the wheels of its lock; return a PYTHONPATH."""
    site = folder / "site"
    info = site / "oldbox-2.0.dist-info"
    wheels = folder / "wheels"
    for place in (site / "oldbox", info, wheels, folder / "numpy"):
        place.mkdir(parents=True)
    (site / "bystander.py").write_text("")
    (site / "oldbox" / "__init__.py").write_text("")
    (site / "oldbox" / "model.py").write_text(MODEL)
    (site / "oldbox" / "environment.py").write_text(ENVIRONMENT.format(minor=minor))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: oldbox\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    ours = Path(np.__file__).parent
    for part in ours.parent.glob("numpy*"):
        if part.name in ("numpy", "numpy.libs"):
            (folder / "numpy" / part.name).symlink_to(part)
    relic = _wheel(wheels, "relic", "0.9", {"relic.py": ""})
    linked = _wheel(wheels, "numpy_link", "1.0", {"numpy_link.pth": f"{folder / 'numpy'}\n"})
    (site / "oldbox" / "lock.txt").write_text(f"{relic}\n{linked}\n")
    return site


def _wheel(folder: Path, name: str, version: str, files: dict[str, str]) -> Path:
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    files = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = f"{info}/RECORD"
    with zipfile.ZipFile(path, "w") as wheel:
        for member, text in {**files, record: "".join(f"{member},,\n" for member in (*files, record))}.items():
            wheel.writestr(member, text)
    return path
