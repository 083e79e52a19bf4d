"""Pretrained encoders: which values a name stands for, what is refused, and rows from end to end; all offline."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_bench import registry
from ser_bench.cells import feature_digest, lacking
from ser_bench.encoders import Encoder, find_encoder
from ser_bench.errors import DataError, PrerequisiteError, SerBenchError, UsageError
from ser_bench.features.contract import Analysis, FeatureSet, Float32
from ser_bench.features.resemblyzer_set import RESEMBLYZER
from ser_bench.models.contract import Examples, FitContext, Prediction
from ser_bench.models.encoder_heads import AttentiveHead, LayerHead
from ser_bench.models.hf_finetune import HfFinetune
from tests.processes import REPORT_HEAVY, python
from tests.small_corpus import write_suite
from tests.test_run import Place

torch = pytest.importorskip("torch", reason="pip install '.[encoders]'")
transformers = pytest.importorskip("transformers", reason="pip install '.[encoders]'")

CONVOLVING: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": (8, 8),
    "conv_kernel": (10, 64),
    "conv_stride": (5, 64),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}
WHISPER: dict[str, Any] = {
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "vocab_size": 8,
    **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"), 1),
}
KINDS = {"Wav2Vec2": CONVOLVING, "Hubert": CONVOLVING, "WavLM": CONVOLVING, "Whisper": WHISPER}


def save(folder: Path, kind: str = "WavLM", *, masks: bool = True, seed: int = 0, **changes: Any) -> Path:
    """Save a tiny encoder with random weights as its library does."""
    torch.manual_seed(seed)
    config = getattr(transformers, f"{kind}Config")(**{**KINDS[kind], **changes})
    getattr(transformers, f"{kind}Model")(config).save_pretrained(folder)
    if kind == "Whisper":
        transformers.WhisperFeatureExtractor().save_pretrained(folder)
    else:
        transformers.Wav2Vec2FeatureExtractor(return_attention_mask=masks).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoders")
    for kind in KINDS:
        save(folder / kind, kind)
    return folder


def sound(n_samples: int = 16_000, seed: int = 0) -> Float32:
    return (0.1 * np.random.RandomState(seed).standard_normal(n_samples)).astype(np.float32)


def values(name: str, samples: Float32) -> Float32:
    found: FeatureSet = registry.load("features", name)
    assert found.sample_rate_hz == 16_000
    return found(Analysis(samples, 16_000))


# Values


@pytest.mark.parametrize("kind", KINDS)
def test_a_layers_mean_is_that_of_the_librarys_own_hidden_states(encoders: Path, kind: str) -> None:
    folder, samples = encoders / kind, sound()
    network = transformers.AutoModel.from_pretrained(folder).eval()
    network = network.get_encoder() if kind == "Whisper" else network
    inputs = transformers.AutoFeatureExtractor.from_pretrained(folder)(
        samples, sampling_rate=16_000, return_tensors="pt"
    )
    with torch.inference_mode():
        states = network(**inputs, output_hidden_states=True).hidden_states
    kept = [state[0, :50].numpy() if kind == "Whisper" else state[0].numpy() for state in states]  # 1 s of 30
    for layer, frames in enumerate(kept):
        assert np.allclose(values(f"hf:{folder}?layer={layer}", samples), frames.mean(axis=0), atol=1e-6)
    assert np.array_equal(values(f"hf:{folder}", samples), values(f"hf:{folder}?layer=2", samples))
    every = values(f"hf:{folder}?layer=all", samples)
    assert np.allclose(every, np.concatenate([frames.mean(axis=0) for frames in kept]), atol=1e-6)
    moments = values(f"hf:{folder}?pool=mean-sd", samples)
    assert np.allclose(moments, np.concatenate([kept[-1].mean(axis=0), kept[-1].std(axis=0)]), atol=1e-6)
    assert np.allclose(values(f"hf:{folder}?pool=none", samples), kept[-1], atol=1e-6)


def test_every_layer_is_a_group_of_columns(encoders: Path) -> None:
    found = registry.load("features", f"hf:{encoders}/WavLM?layer=all&pool=mean-sd")
    assert found.groups == {"layer00": (0, 32), "layer01": (32, 64), "layer02": (64, 96)}
    assert (found.columns[31], found.columns[32]) == ("layer00_0015_sd", "layer01_0000")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_samples", [1, 399, 4321])
def test_the_same_sound_gives_the_same_bits_on_any_number_of_threads(encoders: Path, kind: str, n_samples: int) -> None:
    samples, n_threads = sound(n_samples), torch.get_num_threads()
    first = Encoder(str(encoders / kind)).layers(samples)
    try:
        torch.set_num_threads(3)
        again = Encoder(str(encoders / kind)).layers(samples)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(n_threads)
    assert np.isfinite(first).all()
    assert first.tobytes() == again.tobytes()


def test_whisper_hears_beyond_its_thirty_seconds(encoders: Path) -> None:
    samples = sound(31 * 16_000)
    frames = values(f"hf:{encoders}/Whisper?pool=none", samples)
    assert frames.shape == (1550, 16)
    assert np.array_equal(frames[1500:], values(f"hf:{encoders}/Whisper?pool=none", samples[30 * 16_000 :]))


def test_frames_can_be_summed_up_like_any_others(encoders: Path) -> None:
    name = f"hf:{encoders}/WavLM?pool=none"
    summed = values(f"{name}+functionals", sound())
    assert np.allclose(summed[:16], values(name, sound()).mean(axis=0), atol=1e-6)


def test_the_parameters_are_those_of_the_encoder_alone(encoders: Path) -> None:
    for kind in KINDS:
        network = Encoder(str(encoders / kind)).network
        masked = 16 if kind != "Whisper" else 0  # a vector that stands for masked frames in training
        expected = sum(p.numel() for p in network.parameters()) - masked
        assert find_encoder(str(encoders / kind)).n_parameters == expected


def test_a_description_loads_no_framework(encoders: Path) -> None:
    code = f"from ser_bench import registry; registry.load('features', 'hf:{encoders}/WavLM'); {REPORT_HEAVY}"
    assert python("-c", code).stderr.strip() == "[]"


# Keys


def test_other_weights_in_the_same_folder_are_another_key(tmp_path: Path) -> None:
    name = f"hf:{save(tmp_path / 'encoder')}"
    found = registry.load("features", name)
    before = feature_digest(name, found, 22_050)
    shutil.copytree(tmp_path / "encoder", tmp_path / "elsewhere" / "encoder")
    moved = f"hf:{tmp_path}/elsewhere/encoder"
    assert feature_digest(moved, registry.load("features", moved), 22_050) == before
    assert feature_digest(f"{name}?layer=1", registry.load("features", f"{name}?layer=1"), 22_050) != before
    save(tmp_path / "encoder", seed=1)
    assert feature_digest(name, found, 22_050) != before


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("?layer=3", "layer 0 to 2, 'last' or 'all' expected, got '3'"),
        ("?layer=all&pool=none", "all layers are pooled"),
        ("?pool=max", "unknown pool 'max'"),
        ("?layers=2", "did you mean 'layer'"),
        ("?layer=1&layer=2", "stands twice"),
        ("?layer", "option=value"),
    ],
)
def test_an_option_that_is_none_is_refused(encoders: Path, options: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        registry.load("features", f"hf:{encoders}/WavLM{options}")


def test_an_encoder_that_is_not_here_says_what_to_get_and_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.delenv("SER_BENCH_DOWNLOAD", raising=False)
    with pytest.raises(PrerequisiteError) as raised:
        registry.load("features", "hf:nobody/nothing?revision=v2")
    assert str(tmp_path) in raised.value.message
    wanted = "hf download nobody/nothing config.json preprocessor_config.json model.safetensors --revision v2"
    assert raised.value.hint is not None
    assert raised.value.hint.startswith(wanted)
    with pytest.raises(PrerequisiteError, match=r"no folder '\./nothing'"):
        registry.load("features", "hf:./nothing")


def test_an_encoder_of_the_hub_is_taken_from_its_cache_with_its_commit(
    encoders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    commit, place = "0123456789abcdef0123456789abcdef01234567", tmp_path / "models--lab--tiny"
    shutil.copytree(encoders / "Hubert", place / "snapshots" / commit)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(commit)
    real = huggingface_hub.snapshot_download
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *a, **k: real(*a, **k, cache_dir=tmp_path))
    found = registry.load("features", "hf:lab/tiny?layer=1")
    assert commit in found.title
    assert find_encoder("lab/tiny").commit == commit
    assert np.array_equal(found(Analysis(sound(), 16_000)), values(f"hf:{encoders}/Hubert?layer=1", sound()))


def _pickled(folder: Path) -> None:
    torch.save({}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def _shard_lost(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-1.safetensors"}}')


def _config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_pickled, "pytorch_model.bin is a pickle"),
        (_shard_lost, "weights are missing: model-1.safetensors"),
        (lambda folder: (folder / "model.safetensors").unlink(), "holds no model.safetensors"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 64), "no file of tensors"),
        (lambda folder: (folder / "preprocessor_config.json").unlink(), "holds no preprocessor_config.json"),
        (lambda folder: (folder / "config.json").write_text("["), "can't be read"),
        (lambda folder: _config(folder, hidden_size=None), "no speech encoder"),
        (lambda folder: _config(folder, auto_map={"AutoModel": "theirs.Theirs"}), "brings code of its own"),
    ],
)
def test_a_folder_that_can_not_be_used_is_refused_with_the_reason(tmp_path: Path, spoil: Any, message: str) -> None:
    spoil(save(tmp_path / "encoder"))
    with pytest.raises(DataError, match=message):
        registry.load("features", f"hf:{tmp_path}/encoder")


def test_weights_that_would_be_drawn_at_random_are_refused(tmp_path: Path) -> None:
    _config(save(tmp_path / "encoder"), num_hidden_layers=3)
    with pytest.raises(DataError, match="the weights lack"):
        values(f"hf:{tmp_path}/encoder", sound())


# ONNX


def write_onnx(path: Path, *, frames: bool = True, inputs: int = 1) -> Path:
    """Write a graph: samples -> frames of 4 samples and their squares, or the first 8 samples."""
    onnx = pytest.importorskip("onnx", reason="pip install '.[dev]'")
    pytest.importorskip("onnxruntime", reason="pip install '.[onnx]'")
    from onnx import TensorProto, helper, numpy_helper

    shape = numpy_helper.from_array(np.array([1, -1, 4] if frames else [0, 8], dtype=np.int64), "shape")
    nodes = [
        helper.make_node("Reshape", ["samples", "shape"], ["framed"]),
        helper.make_node("Mul", ["framed", "framed"], ["squares"]),
        helper.make_node("Concat", ["framed", "squares"], ["out"], axis=2),
    ]
    if not frames:
        ends = [numpy_helper.from_array(np.array([n], dtype=np.int64), name) for n, name in ((0, "start"), (8, "stop"))]
        axis = numpy_helper.from_array(np.array([1], dtype=np.int64), "axis")
        nodes = [helper.make_node("Slice", ["samples", "start", "stop", "axis"], ["out"])]
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, "n"]) for name in ("samples", "more")[:inputs]]
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, "t", "w"] if frames else [1, "w"])
    graph = helper.make_graph(nodes, "g", given, [out], [shape] if frames else [*ends, axis])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


def test_an_onnx_encoders_frames_are_pooled(tmp_path: Path) -> None:
    name, samples = f"onnx:{write_onnx(tmp_path / 'e.onnx')}?rate=16000", sound(8_000)
    framed = samples.reshape(-1, 4)
    expected = np.concatenate([framed, framed**2], axis=1)
    assert np.allclose(values(f"{name}&pool=none", samples), expected)
    assert np.allclose(values(name, samples), expected.mean(axis=0), atol=1e-7)
    assert values(name, samples).tobytes() == values(name, samples).tobytes()
    assert registry.load("features", name).name == "onnx:e.onnx?rate=16000"


def test_an_onnx_encoders_vector_is_taken_as_it_is(tmp_path: Path) -> None:
    name = f"onnx:{write_onnx(tmp_path / 'v.onnx', frames=False)}?rate=16000"
    assert np.array_equal(values(name, sound()), sound()[:8])
    with pytest.raises(UsageError, match="nothing to pool"):
        registry.load("features", f"{name}&pool=none")


def test_what_is_no_onnx_encoder_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no graph")
    two = write_onnx(tmp_path / "two.onnx", inputs=2)
    refused: dict[str, tuple[type[SerBenchError], str]] = {
        f"onnx:{two}": (UsageError, "the rate"),
        f"onnx:{tmp_path}/gone.onnx?rate=16000": (UsageError, "no file"),
        f"onnx:{two}?rate=16000": (DataError, "one input of samples expected"),
        f"onnx:{tmp_path}/text.onnx?rate=16000": (DataError, "no ONNX graph"),
        f"onnx:{write_onnx(tmp_path / 'odd.onnx')}?rate=4001": (DataError, "4001 samples"),
    }
    for name, (error, message) in refused.items():
        with pytest.raises(error, match=message):
            registry.load("features", name)


# Resemblyzer


@pytest.mark.slow
def test_the_speaker_embedding_is_resemblyzers_own_and_finite_for_any_sound() -> None:
    resemblyzer = pytest.importorskip("resemblyzer", reason=str(RESEMBLYZER.install))
    samples = sound(40_000) * np.sin(np.arange(40_000) / 900).astype(np.float32)
    network = resemblyzer.VoiceEncoder("cpu", verbose=False)
    expected = network.embed_utterance(resemblyzer.preprocess_wav(samples))
    assert np.array_equal(RESEMBLYZER(Analysis(samples, 16_000)), expected)
    assert sum(p.numel() for p in network.parameters()) == RESEMBLYZER.n_parameters
    for odd in (np.zeros(1), np.full(399, 1e-5), np.zeros(16_000), np.ones(16_000)):
        RESEMBLYZER(Analysis(odd.astype(np.float32), 16_000))


def test_what_no_extra_brings_says_how_to_install_it() -> None:
    missing = replace(RESEMBLYZER, requires=("no_such_package",))
    assert str(lacking(missing)).endswith("&& pip install --no-deps resemblyzer")


# Heads


CONTEXT = FitContext(n_classes=3, class_names=("a", "b", "c"), seed=0)


def told_apart(model: Any, examples: Examples) -> Prediction:
    model.fit(examples, None, CONTEXT)
    answer = model.predict(examples)
    assert (answer.labels == examples.targets).mean() > 0.9
    return answer


@pytest.mark.parametrize("hidden", [0, 16])
def test_the_layer_head_finds_the_layer_that_tells(hidden: int) -> None:
    random, classes = np.random.RandomState(0), np.arange(90) % 3
    noise = random.standard_normal((90, 3, 4)).astype(np.float32)
    noise[:, 1, :3] += 4 * np.eye(3, dtype=np.float32)[classes]
    columns = tuple(f"layer{n // 4:02d}_{n % 4}" for n in range(12))
    groups = {f"layer{n:02d}": (4 * n, 4 * n + 4) for n in range(3)}
    examples = Examples(values=noise.reshape(90, 12), columns=columns, groups=groups, classes=classes)
    model = LayerHead(epochs=40, hidden=hidden, learning_rate=0.02)
    told_apart(model, examples)
    assert np.argmax(model.facts["layer_weights"]) == 1
    assert sum(model.facts["layer_weights"]) == pytest.approx(1, abs=1e-3)
    with pytest.raises(UsageError, match="every layer's outputs"):
        LayerHead().fit(replace(examples, groups={}), None, CONTEXT)


def ragged(frames: list[Float32], classes: Any) -> Examples:
    offsets = np.cumsum([0, *map(len, frames)]).astype(np.int64)
    columns = tuple(f"c{n}" for n in range(frames[0].shape[1]))
    return Examples.of_frames(np.concatenate(frames), columns, offsets, classes=classes)


def test_attention_finds_the_few_frames_that_tell_and_padding_changes_nothing() -> None:
    random, classes = np.random.RandomState(0), np.arange(60) % 3
    frames = []
    for place, known in enumerate(classes):
        one = random.standard_normal((10 + place % 7, 4)).astype(np.float32)
        one[place % 5, known] += 8
        frames.append(one)
    examples = ragged(frames, classes)
    told_apart(AttentiveHead(epochs=40, hidden=16, learning_rate=0.01), examples)
    model = AttentiveHead(epochs=1)  # it attends to every frame yet
    model.fit(examples, None, CONTEXT)
    together = model.predict(examples)
    alone = model.predict(replace(examples, rows=np.array([0]), classes=None))
    assert np.allclose(alone.scores, np.asarray(together.scores)[:1], atol=1e-5)


# Fine-tuning


def tones(n: int = 18) -> Examples:
    pitch, classes = (200, 500, 1200), np.arange(n) % 3
    time_s = np.arange(4_800) / 16_000
    waves = [np.sin(2 * np.pi * (pitch[c] + 5 * k) * time_s[: 3_200 + 80 * k]) for k, c in enumerate(classes)]
    return ragged([wave.astype(np.float32)[:, None] for wave in waves], classes)


SMALL: dict[str, Any] = {"epochs": 2, "hidden": 8, "crop_s": 0.2, "batch_size": 6, "learning_rate": 1e-3}


@pytest.mark.parametrize("kind", ["Wav2Vec2", "WavLM"])
@pytest.mark.parametrize("pool", ["mean", "attentive"])
def test_fine_tuning_trains_the_upper_layers_only_and_gives_the_same_bits_twice(
    encoders: Path, kind: str, pool: str
) -> None:
    before = Encoder(str(encoders / kind)).network.state_dict()
    model = HfFinetune(encoder=str(encoders / kind), trained_layers=1, pool=pool, **SMALL)
    model.fit(tones(), None, CONTEXT)
    after = model._network.encoder.state_dict()
    changed = {name.split(".layers.")[-1][0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"1"}
    assert model.facts["n_parameters"] > model.facts["n_trained_parameters"] > 0
    again = HfFinetune(encoder=str(encoders / kind), trained_layers=1, pool=pool, **SMALL)
    again.fit(tones(), None, CONTEXT)
    assert np.asarray(model.predict(tones()).scores).tobytes() == np.asarray(again.predict(tones()).scores).tobytes()


def test_a_fine_tuned_rows_answer_depends_on_that_row_only(encoders: Path, tmp_path: Path) -> None:
    model = HfFinetune(encoder=str(encoders / "Hubert"), **SMALL)
    model.fit(tones(), None, CONTEXT)
    scores = np.asarray(model.predict(tones()).scores)
    assert np.array_equal(model.predict(replace(tones(), rows=np.array([4]))).scores, scores[4:5])
    model.save(tmp_path / "model.safetensors")
    kept = HfFinetune(encoder=str(encoders / "Hubert"), **SMALL)
    kept.load(tmp_path / "model.safetensors")
    assert np.array_equal(kept.predict(tones()).scores, scores)


def test_fine_tuning_says_what_it_can_not_use(encoders: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="trained_layers = 3"):
        HfFinetune(encoder=str(encoders / "WavLM"), trained_layers=3).fit(tones(), None, CONTEXT)
    with pytest.raises(UsageError, match="takes samples"):
        HfFinetune(encoder=str(encoders / "WavLM")).fit(ragged([np.zeros((5, 2), np.float32)], [0]), None, CONTEXT)
    folder = save(tmp_path / "slow")
    transformers.Wav2Vec2FeatureExtractor(sampling_rate=8_000).save_pretrained(folder)
    with pytest.raises(UsageError, match="8000 Hz"):
        HfFinetune(encoder=str(folder)).fit(tones(), None, CONTEXT)


# From end to end


def records_of(answer: dict[str, Any]) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted((Path(answer["out"]) / "records").glob("*.json"))]


@pytest.mark.slow
def test_a_row_on_an_encoder_runs_and_its_record_says_which(encoders: Path, tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.rows()
    write_suite(tmp_path / "suite.toml", models=f'{{ model = "logreg", features = "hf:{encoders}/WavLM" }}')
    answer, _ = place.run()
    (record,) = records_of(answer)
    assert (record["status"], record["approach"]) == ("ok", "self-supervised")
    features = record["features"]
    assert features["name"] == "hf:WavLM"
    assert features["n_parameters"] == find_encoder(f"{encoders}/WavLM").n_parameters
    assert features["origin"].startswith("encoder, sha256 of config.json ")


@pytest.mark.slow
def test_every_head_and_fine_tuning_run_and_give_the_same_bits_alone(encoders: Path, tmp_path: Path) -> None:
    place, folder = Place(tmp_path), encoders / "WavLM"
    place.rows()
    write_suite(
        tmp_path / "suite.toml",
        models=f"""{{ model = "hf-head", features = "hf:{folder}?layer=all", params = {{ epochs = 2 }} }},
            {{ model = "attentive-head", features = "hf:{folder}?pool=none", params = {{ epochs = 2 }} }},
            {{ model = "hf-finetune", params = {{ encoder = "{folder}", epochs = 1, hidden = 0 }} }}""",
    )
    answer, _ = place.run()
    assert [row["status"] for row in answer["rows"]] == ["ok"] * 3
    records = records_of(answer)
    assert {(record["approach"], record["timing"]["reproduced"]) for record in records} == {("self-supervised", True)}
    n_parameters = find_encoder(str(folder)).n_parameters
    assert [record["features"]["n_parameters"] for record in records] == [n_parameters, n_parameters, None]
    assert records[2]["model"]["n_parameters"] > (n_parameters or 0)


def test_a_row_that_names_no_encoder_is_refused_before_anything_runs(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.rows()
    write_suite(tmp_path / "suite.toml", models='"hf-finetune"')
    answer, _ = place.run(code=2)
    assert "no encoder is named" in answer["error"]
