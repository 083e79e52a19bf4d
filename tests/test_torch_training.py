"""The training loop of the torch models: its settings, its choices, and fits that go on after a kill."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_bench import worker
from ser_bench.errors import DataError
from ser_bench.models import torch_state
from ser_bench.models.contract import Examples, FitContext, Ints
from ser_bench.models.tensor_files import read_tensors, write_tensors
from ser_bench.models.torch_module import TorchModule, torch_model
from ser_bench.models.torch_training import TorchModel, Training, mixed_up, torch_optimiser, warm_up_and_cosine

torch = pytest.importorskip("torch", reason="pip install '.[torch]'")
pytest.importorskip("safetensors", reason="pip install '.[torch]'")

SIDE = 4
EVERYTHING: dict[str, Any] = {
    "averaging": 0.9,
    "schedule": warm_up_and_cosine(0.2),
    "clip_norm": 1.0,
    "class_weights": True,
    "label_smoothing": 0.1,
    "channels_last": True,
}


class Images(TorchModel):
    """A small network on 4 x 4 images with batch norm and dropout, that notes its batches."""

    def __init__(self, *, optimiser: str = "AdamW", rate: float = 1e-2, **settings: Any) -> None:
        settings = {"epochs": 5, "batch_size": 16, **settings}
        super().__init__(Training(optimiser=torch_optimiser(optimiser, lr=rate), **settings))
        self.fed: list[list[int]] = []
        self.random: list[float] = []

    def build(self, n_columns: int, n_outputs: int) -> Any:
        nn = torch.nn
        first = [nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3)]
        return nn.Sequential(*first, nn.Flatten(), nn.Dropout(0.3), nn.Linear(32, n_outputs))

    def inputs(self, examples: Examples, rows: Ints, random: np.random.RandomState | None) -> tuple[Any, ...]:
        if random is not None:
            self.fed.append(rows.tolist())
            self.random.append(random.rand())
        return (examples.values[rows].reshape(-1, 1, SIDE, SIDE),)


class Linear(torch.nn.Module):
    """What a user would write; ``scale`` is a parameter of its own."""

    def __init__(self, n_columns: int, n_classes: int, scale: float = 1.0) -> None:
        super().__init__()
        self.layer, self.scale, self.shapes = torch.nn.Linear(n_columns, n_classes), scale, []

    def forward(self, values: Any) -> Any:
        self.shapes.append(tuple(values.shape))
        return self.scale * self.layer(values if values.ndim == 2 else values.mean(dim=1))


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a checkpoint after every epoch."""
    monkeypatch.setattr(torch_state, "CHECKPOINT_S", 0.0)
    monkeypatch.setattr(torch_state, "CHECKPOINT_SHARE", 1e9)


class KilledError(Exception):
    """Raised where a fit is cut off."""


def examples(n: int = 49, seed: int = 0, counts: tuple[int, ...] | None = None) -> Examples:
    random = np.random.RandomState(seed)
    classes = random.permutation(np.repeat(np.arange(3), counts)) if counts else np.arange(n) % 3
    values = (random.randn(len(classes), SIDE * SIDE) + classes[:, None]).astype(np.float32)
    columns = tuple(f"column {i}" for i in range(SIDE * SIDE))
    return Examples(values=values, columns=columns, classes=classes.astype(np.int64))


def context(checkpoint: Path | None = None, killed_after: int = 0, seen: list[int] | None = None) -> FitContext:
    def progress(done: int, total: int) -> None:
        if seen is not None:
            seen.append(done)
        if done == killed_after:
            raise KilledError

    return FitContext(n_classes=4, class_names=("a", "b", "c", "d"), seed=3, checkpoint=checkpoint, progress=progress)


def fitted(model: TorchModel, train: Examples | None = None, dev: Examples | None = None, **how: Any) -> TorchModel:
    model.fit(train or examples(), dev, context(**how))
    return model


@pytest.mark.parametrize("optimiser", ["AdamW", "SGD", "RMSprop"])
@pytest.mark.parametrize("settings", [{}, EVERYTHING], ids=["plain", "everything"])
def test_a_fit_killed_between_epochs_ends_with_the_bits_of_an_uninterrupted_one(
    optimiser: str, settings: dict[str, Any], tmp_path: Path, always: None
) -> None:
    dev = examples(30, seed=1)
    whole = fitted(Images(optimiser=optimiser, **settings), dev=dev)
    for killed_after in (1, 3):
        with pytest.raises(KilledError):
            fitted(Images(optimiser=optimiser, **settings), dev=dev, checkpoint=tmp_path, killed_after=killed_after)
    seen: list[int] = []
    resumed = fitted(Images(optimiser=optimiser, **settings), dev=dev, checkpoint=tmp_path, seen=seen)
    assert seen == [4, 5]
    assert np.array_equal(whole.predict(dev).scores, resumed.predict(dev).scores)
    assert (whole.facts, whole.chosen) == (resumed.facts, resumed.chosen)
    again = fitted(Images(optimiser=optimiser, **settings), dev=dev, checkpoint=tmp_path, seen=seen)
    assert seen == [4, 5], "what is finished is not trained again"
    assert np.array_equal(whole.predict(dev).scores, again.predict(dev).scores)


def test_checkpoints_are_whole_files_of_tensors_and_text(tmp_path: Path, always: None) -> None:
    fitted(Images(), checkpoint=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["training.safetensors"]
    tensors, note = read_tensors(tmp_path / "training.safetensors")
    assert note["plain"]["epoch"] == 5 and "network.0.weight" in tensors and "optimiser.0.exp_avg" in tensors


def test_what_is_quickly_trained_again_leaves_no_checkpoint(tmp_path: Path) -> None:
    fitted(Images(), checkpoint=tmp_path / "quick")
    assert not (tmp_path / "quick").exists()


@pytest.mark.parametrize("damage", ["cut", "other epochs"])
def test_a_checkpoint_that_is_damaged_or_of_another_length_is_not_used(
    damage: str, tmp_path: Path, always: None
) -> None:
    fitted(Images(epochs=4 if damage == "other epochs" else 5), checkpoint=tmp_path)
    if damage == "cut":
        path = tmp_path / "training.safetensors"
        path.write_bytes(path.read_bytes()[:-5])
    seen: list[int] = []
    fitted(Images(), checkpoint=tmp_path, seen=seen)
    assert seen == [1, 2, 3, 4, 5]


CELL = """
import os, signal, sys
from ser_bench import worker
from ser_bench.models import torch_state
from tests.test_torch_training import task_in

torch_state.CHECKPOINT_S, torch_state.CHECKPOINT_SHARE = 0.0, 1e9
seen = []

def progress(done, total):
    seen.append(done)
    if len(seen) == 11:
        os.kill(os.getpid(), signal.SIGKILL)

worker.run_cell(task_in(sys.argv[1]), progress)
"""


def task_in(folder: str) -> dict[str, Any]:
    """Write a cell's data to a folder and return its task: a search over two points, then the refit."""
    place = Path(folder)
    place.mkdir(exist_ok=True)
    found = examples(60)
    rows = {"train_0": np.arange(30), "dev_0": np.arange(30, 45), "test_0": np.arange(45, 60)}
    few = {"speakers": np.arange(60) // 15, "corpora": np.zeros(60, dtype=np.int64)}
    np.savez(place / "data.npz", classes=found.classes, **few, **rows)
    np.save(place / "values.npy", found.values)
    return {
        "task": "cell", "factory": "tests.test_torch_training:Images", "requires": [], "params": {},
        "grid": {"rate": [0.02, 0.01]}, "uses_dev": True, "soft_targets": False, "normalise": "standard",
        "data": str(place / "data.npz"), "fold": 0, "inner": 0, "primary": "uar",
        "values": str(place / "values.npy"), "offsets": None, "columns": list(found.columns),
        "class_names": ["a", "b", "c"], "seed": 1, "device": "cpu", "threads": 1, "scratch": str(place),
        "permute": False, "out": str(place / "cell.npz"),
    }  # fmt: skip


def cell_in(folder: Path) -> tuple[dict[str, Any], list[int]]:
    seen: list[int] = []
    worker.run_cell(task_in(str(folder)), lambda done, total: seen.append(done))
    with np.load(folder / "cell.npz") as stored:
        return {name: stored[name] for name in stored.files if name != "meta"}, seen


def test_a_killed_worker_leaves_checkpoints_from_which_the_cell_goes_on(tmp_path: Path, always: None) -> None:
    whole, every = cell_in(tmp_path / "whole")
    assert not (tmp_path / "whole" / "cell.checkpoints").exists()
    killed = subprocess.run([sys.executable, "-c", CELL, str(tmp_path / "killed")], timeout=120, check=False)
    assert killed.returncode == -9
    assert [path.name for path in sorted((tmp_path / "killed" / "cell.checkpoints").iterdir())] == [
        "0-0",
        "0-1",
        "refit",
    ]
    resumed, rest = cell_in(tmp_path / "killed")
    assert every[:10] == [1, 2, 3, 4, 5] * 2 and rest == every[11:]
    assert all(np.array_equal(whole[name], resumed[name]) for name in whole)
    assert not (tmp_path / "killed" / "cell.checkpoints").exists()


def test_the_budget_ends_training_after_the_epoch_in_which_it_ends_and_the_facts_say_so() -> None:
    facts = fitted(Images(seconds=0.0)).facts
    assert facts["epochs"] == 1 and facts["warnings"] == ["stopped by its budget of 0 s after 1 of 5 epochs"]
    assert "warnings" not in fitted(Images(epochs=1, seconds=0.0)).facts
    assert fitted(Images(seconds=1e9)).facts["epochs"] == 5


def test_patience_stops_and_the_best_epochs_weights_predict() -> None:
    train, dev = examples(), examples(30, seed=1)
    model = fitted(Images(rate=0.1, patience=2, epochs=30), train, dev)
    scores = [entry["dev_uar"] for entry in model.facts["curve"]]
    best = scores.index(max(scores)) + 1
    assert len(scores) == best + 2 < 30 and model.chosen == {"epochs": best}
    assert np.array_equal(fitted(Images(rate=0.1, epochs=best), train).predict(dev).scores, model.predict(dev).scores)


def test_an_epoch_shows_every_row_once_in_a_new_order_and_never_one_alone() -> None:
    model = Images(epochs=2, batch_size=16)
    fitted(model, examples(49))
    assert [len(rows) for rows in model.fed] == [16, 16, 17] * 2
    first, second = ([row for rows in model.fed[at : at + 3] for row in rows] for at in (0, 3))
    assert sorted(first) == sorted(second) == list(range(49)) and first != second
    assert len(set(model.random)) == 6


def test_the_schedule_sets_the_rate_of_every_step_or_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    def rates(**settings: Any) -> list[float]:
        noted: list[float] = []
        model = Images(optimiser="SGD", rate=2.0, epochs=2, batch_size=30, schedule=lambda done: 1 - done, **settings)
        step = torch.optim.SGD.step
        monkeypatch.setattr(
            torch.optim.SGD, "step", lambda self, *a: (noted.append(self.param_groups[0]["lr"]), step(self, *a))[1]
        )
        fitted(model, examples(60))
        monkeypatch.undo()
        return noted

    assert rates() == pytest.approx([2, 1.5, 1, 0.5])
    assert rates(schedule_per="epoch") == pytest.approx([2, 2, 1, 1])
    assert rates(schedule_epochs=4) == pytest.approx([2, 1.75, 1.5, 1.25])


def test_warm_up_rises_to_1_and_a_cosine_falls_to_the_end() -> None:
    factor = warm_up_and_cosine(0.2, start=0.1, end=0.01)
    assert [factor(done) for done in (0, 0.1, 0.2, 0.6, 1.0)] == pytest.approx([0.1, 0.55, 1, 0.505, 0.01])


def test_class_weights_are_inverse_to_the_frequency_of_classes_or_of_their_shares() -> None:
    model = Images(class_weights=True)
    train = examples(counts=(30, 15, 5))
    fitted(model, train)
    assert model._weight.tolist() == pytest.approx([50 / 90, 50 / 45, 50 / 15])
    shares = np.eye(4, dtype=np.float32)[train.targets]
    soft = Examples(values=train.values, columns=train.columns, classes=train.targets, distributions=shares)
    fitted(model, soft)
    assert model._weight.tolist() == pytest.approx([50 / 90, 50 / 45, 50 / 15])


def test_gradients_are_clipped_and_averaged_weights_lag_behind() -> None:
    train = examples()
    moved = {}
    for clip_norm in (None, 1e-6):
        model = fitted(Images(optimiser="SGD", epochs=1, clip_norm=clip_norm), train)
        torch.manual_seed(3 * 1_000_003)
        start = model.build(16, 3).state_dict()["6.weight"]
        moved[clip_norm] = float((model._judged.state_dict()["6.weight"] - start).abs().max())
    assert moved[1e-6] < 1e-6 < moved[None]
    model = fitted(Images(averaging=0.999), train)
    now, mean = (m.state_dict()["6.weight"] for m in (model._network, model._judged))
    assert not torch.equal(now, mean) and float((now - mean).abs().max()) < 0.1
    assert int(model._judged.state_dict()["1.num_batches_tracked"]) == 15


def test_a_loss_that_is_not_finite_ends_the_fit() -> None:
    with pytest.raises(ArithmeticError, match=r"training diverged: the loss of epoch \d is (nan|inf)"):
        fitted(Images(optimiser="SGD", rate=1e30))


def test_mixup_mixes_rows_and_targets_in_the_same_shares() -> None:
    inputs, targets = (torch.eye(4), 10 * torch.eye(4)), torch.eye(4)
    (first, second), mixed = mixed_up(inputs, targets, np.random.RandomState(0), alpha=0.4)
    assert torch.equal(first, mixed) and torch.allclose(second, 10 * mixed)
    assert not torch.equal(mixed, targets) and mixed.sum(dim=1).tolist() == pytest.approx([1] * 4)
    assert mixed_up(inputs, targets, np.random.RandomState(0), alpha=0)[1] is targets


class MixedUp(Images):
    def augment(self, inputs: tuple[Any, ...], targets: Any, random: np.random.RandomState) -> Any:
        return mixed_up(inputs, torch.nn.functional.one_hot(targets, 3).float(), random, alpha=1.0)


def test_a_model_may_learn_from_mixed_batches() -> None:
    assert fitted(MixedUp()).facts["curve"] != fitted(Images()).facts["curve"]


def test_saved_weights_predict_the_same_bits(tmp_path: Path) -> None:
    questions = examples(20, seed=2)
    model = fitted(Images(**EVERYTHING))
    model.save(tmp_path)
    loaded = Images(**EVERYTHING)
    loaded.load(tmp_path)
    assert np.array_equal(model.predict(questions).scores, loaded.predict(questions).scores)
    (tmp_path / "weights.safetensors").write_bytes(b"\x80\x04 a pickle")
    with pytest.raises(DataError, match="not a file of tensors"):
        loaded.load(tmp_path)


def test_tied_tensors_are_written_each(tmp_path: Path) -> None:
    one = torch.arange(4.0)
    write_tensors(tmp_path / "t", {"a": one, "b": one[1:]}, {"of": 1})
    tensors, note = read_tensors(tmp_path / "t")
    assert tensors["b"].tolist() == [1, 2, 3] and note == {"of": 1}


def test_a_users_module_is_a_model_on_vectors() -> None:
    spec = torch_model(name="mine", build="tests.test_torch_training:Linear", epochs=15, learning_rate=0.1, scale=2.0)
    assert (spec.input, spec.uses_dev, spec.params["batch_size"], spec.params["scale"]) == ("vector", True, 32, 2.0)
    model = TorchModule(**spec.params)
    fitted(model, examples(300))
    assert model._network.scale == 2.0 and model._network.shapes[0] == (32, 16)
    assert (model.predict(examples(30, seed=1)).labels == np.arange(30) % 3).mean() > 0.8


@pytest.mark.parametrize(("n_frames", "common"), [(None, 12), (7, 7)])
def test_a_users_module_is_a_model_on_frames_of_one_length(n_frames: int | None, common: int) -> None:
    lengths = np.array([4, 6, 8, 14])
    values = np.ones((lengths.sum(), 3), dtype=np.float32)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    frames = Examples.of_frames(values, ("x", "y", "z"), offsets, classes=np.array([0, 1, 0, 1]))
    spec = torch_model(name="m", build="tests.test_torch_training:Linear", input="frames", n_frames=n_frames, epochs=1)
    model = TorchModule(**spec.params)
    fitted(model, frames)
    assert (model.measured, model._network.shapes[0]) == ({"n_frames": common}, (4, common, 3))
