"""Made-up run records for the tests of the report: every kind of row that a board can meet."""

from __future__ import annotations

import hashlib
import random
from itertools import permutations

from msgspec.structs import replace

from ser_bench.records import (
    ClassScore,
    Code,
    CorpusRef,
    Environment,
    FeaturesRef,
    FoldRef,
    FoldScore,
    GroupScore,
    GroupScores,
    Importances,
    Latency,
    ModelRef,
    PredictionsRef,
    RunRecord,
    Score,
    SearchPoint,
    SelectionStep,
    SuiteRef,
    Timing,
)
from ser_bench.references import Band, Reference

EIGHT = ("angry", "calm", "disgust", "fear", "happy", "neutral", "sad", "surprise")
FOUR = ("angry", "happy", "neutral", "sad")

HOSTILE = (
    "<script>alert(1)</script>",
    "a|b | c",
    "two\nlines\r\n\n# heading",
    "`tick` ``two``",
    "](http://x) [y](http://z) www.z.org a@b.org @somebody #1",
    "<img src=http://x/y.png onerror=alert(1)>",
    "emoji \U0001f3a4 \U0001f469‍\U0001f52c",
    "עברית \u202e gnp.exe",
    "\x1b[31mred\x1b[0m\x07",
    "{{ 7 * 7 }} {% raw %}",
    "*_bold_* ~~gone~~ $x$ &lt; \\ \\|",
    "x" * 300,
)

MODELS = {
    "chance": ("baseline", 0.13, 0.01),
    "majority": ("baseline", 0.125, 0.01),
    "logreg": ("linear", 0.42, 1.9),
    "lda": ("linear", 0.47, 0.4),
    "svm-linear": ("linear", 0.38, 2.7),
    "svm-rbf": ("kernel", 0.45, 0.9),
    "knn": ("neighbours", 0.33, 0.02),
    "decision-tree": ("tree", 0.29, 0.31),
    "random-forest": ("tree", 0.41, 3.2),
    "hist-gb": ("tree", 0.44, 21.4),
    "mlp": ("network", 0.43, 14.0),
    "torch-cnn": ("network", 0.52, 164.2),
}


def digest(*words: object) -> str:
    return hashlib.sha256(repr(words).encode()).hexdigest()


def suite(name: str = "ravdess-actor-holdout", **changes: object) -> SuiteRef:
    base = SuiteRef(
        name=name,
        version=1,
        title="RAVDESS, actors 22–24 held out",
        digest=digest(name)[:16],
        protocol="Speaker hold-out: speakers 22, 23 and 24 are tested; dev sets hold other speakers.",
        labels="eight",
        classes=EIGHT,
        sample_rate_hz=22050,
        notes=(
            "Reproduces the split of a published study.",
            "Three test speakers can't rank models; ravdess-loso does.",
        ),
    )
    return replace(base, **changes)


def ravdess(**changes: object) -> CorpusRef:
    base = CorpusRef(
        name="ravdess",
        title="RAVDESS",
        version="1.0.0",
        licence="CC-BY-NC-SA-4.0",
        n=1440,
        n_used=1438,
        speakers=24,
        expected=1440,
        expected_speakers=24,
        dropped={"duplicate-across-speakers": 1, "silent": 1},
        merged={},
        copies=1440,
        unselected={"channel=song": 1012},
        per_class={name: 96 if name == "neutral" else 192 for name in EIGHT},
        fingerprint=digest("ravdess"),
        examples={"silent": ("ravdess:03-01-01-01-01-01-01",)},
    )
    return replace(base, **changes)


def crema_d(**changes: object) -> CorpusRef:
    base = CorpusRef(
        name="crema-d",
        title="CREMA-D",
        version="1",
        licence="ODbL-1.0",
        n=1621,
        n_used=1077,
        speakers=20,
        expected=7442,
        expected_speakers=91,
        dropped={"label outside the scheme": 540, "label-conflict": 4},
        merged={"calm": 3},
        copies=0,
        unselected={},
        per_class={"angry": 270, "happy": 269, "neutral": 268, "sad": 270},
        fingerprint=digest("crema-d"),
        examples={"label-conflict": ("crema-d:1006_TIE_HAP_XX", "crema-d:1006_TIE_NEU_XX", "b", "c", "d")},
    )
    return replace(base, **changes)


def tess(**changes: object) -> CorpusRef:
    small = crema_d(name="tess", title="TESS", licence="CC-BY-NC-ND-4.0", n=420, n_used=240, speakers=2)
    base = replace(
        small,
        expected=2800,
        expected_speakers=2,
        dropped={"label outside the scheme": 180},
        merged={},
        fingerprint=digest("tess"),
        examples={},
        per_class=dict.fromkeys(FOUR, 60),
    )
    return replace(base, **changes)


def toy(name: str) -> CorpusRef:
    return ravdess(
        name=name,
        title=f"Toy corpus {name[-1].upper()}",
        licence="CC0-1.0",
        n=192,
        n_used=192,
        speakers=8,
        expected=192,
        expected_speakers=8,
        dropped={},
        copies=0,
        unselected={},
        examples={},
        per_class=dict.fromkeys(FOUR, 48),
        fingerprint=digest(name),
        synthetic=True,
    )


def model(name: str) -> ModelRef:
    family = MODELS[name][0]
    network = family == "network"
    return ModelRef(
        name=name,
        title=f"{name.replace('-', ' ').capitalize()}, as it comes",
        origin="ser-bench 0.1.0",
        framework="torch" if network else "scikit-learn",
        family=family,
        params={"epochs": 60, "lr": 0.001} if network else {"C": 0.01, "max_iter": 2000, "penalty": "l2"},
        uses_dev=network,
        n_parameters=576008 if network else None,
    )


def record(row: str = "svm-rbf", **changes: object) -> RunRecord:
    """Return an ok row of the hold-out suite; ``changes`` replace its fields."""
    at: SuiteRef = changes.get("suite", suite())
    name = str(changes.pop("of", row))
    n_folds, n_seeds = int(changes.pop("n_folds", 1)), len(changes.get("seeds", (0, 1, 2)))
    n_test, n_speakers = int(changes.get("n_test", 180)), int(changes.get("n_test_speakers", 3))
    family, level, fit_s = MODELS[name]
    level = level if family == "baseline" else float(changes.pop("level", level))
    changes.pop("level", None)
    rng = random.Random(digest(at.name, row, changes.get("train"), changes.get("test")))
    confusion = _confusion(rng, at.classes, n_test * n_seeds, level)
    recalls = [confusion[i][i] / sum(confusion[i]) for i in range(len(at.classes))]
    uar = sum(recalls) / len(recalls)
    war = sum(confusion[i][i] for i in range(len(at.classes))) / sum(map(sum, confusion))
    of = model(name)
    folds = tuple(_fold(i, n_test // n_folds, max(1, n_speakers // n_folds)) for i in range(n_folds))
    if of.uses_dev:
        of = replace(of, chosen={fold.fold_id: {"epochs": rng.randint(20, 60)} for fold in folds})
    train_uar = uar if family == "baseline" else min(1.0, uar * 2.1)
    fold_uars = [min(1.0, max(0.0, uar + rng.gauss(0, 0.03))) for _ in range(n_folds * n_seeds)]
    mean = sum(fold_uars) / len(fold_uars)
    base = RunRecord(
        run_id=f"{at.name}-{row}-{changes.get('train', '')}-{changes.get('test', '')}",
        row=row,
        status="ok",
        suite=at,
        model=of,
        normalisation="none" if family in ("baseline", "tree") else "standard",
        corpora=(ravdess(),),
        folds_total=n_folds,
        seeds=(0, 1, 2),
        environment=environment(),
        code=Code(version="0.1.0", commit="4b7c1f09a2d35e68", dirty=False, source=digest("code")[:16]),
        created="2025-03-01T12:00:00Z",
        features=None if family == "baseline" else features(of.framework),
        approach=None if family == "baseline" else "scratch" if of.framework == "torch" else "hand-made",
        folds=folds,
        scores={
            "uar": _score(uar, n_speakers, 0.05),
            "war": _score(war, n_speakers, 0.05),
            "macro_f1": _score(uar * 0.97, n_speakers, 0.05),
            "macro_precision": _score(uar * 1.02, n_speakers, 0.05),
        },
        uar_fold_mean=mean,
        uar_fold_sd=None if n_folds == 1 else 0.0312,
        uar_seed_sd=0.008 if n_seeds > 1 else None,
        sides={"train": train_uar, "dev": uar * 1.1 if of.uses_dev else None, "test": uar},
        fold_scores=tuple(
            FoldScore(
                seed=seed,
                fold_id=fold.fold_id,
                train_uar=train_uar,
                dev_uar=uar * 1.1 if of.uses_dev else None,
                test_uar=fold_uars[seed * n_folds + i],
                test_war=war,
            )
            for seed in range(n_seeds)
            for i, fold in enumerate(folds)
        ),
        per_class=tuple(
            ClassScore(name=name, n=sum(confusion[i]) // n_seeds, recall=recalls[i], precision=recalls[i] * 0.98)
            for i, name in enumerate(at.classes)
        ),
        confusion=confusion,
        n_test=n_test,
        n_test_speakers=n_speakers,
        test_fingerprint=digest(at.name, changes.get("test")),
        timing=timing(fit_s),
        predictions=PredictionsRef(path=f"predictions/{row}.parquet", sha256=digest(row), n=1438),
    )
    return replace(base, **changes)


def timing(fit_s: float) -> Timing:
    return Timing(
        fit_s=fit_s,
        predict_s=fit_s / 50,
        peak_mib=212.4 + fit_s,
        threads=1,
        cell="seed 0, fold 0",
        latency=Latency(
            n=100,
            p50_ms=31.42 + fit_s / 9,
            p95_ms=38.061 + fit_s / 7,
            decode_ms=2.31,
            features_ms=28.4,
            predict_ms=0.071 + fit_s / 9,
            audio_s=371.2,
            samples_ms=(31.4, 31.5),
        ),
        rtf=0.00842 + fit_s / 40000,
        reproduced=True,
    )


def environment() -> Environment:
    return Environment(
        python="3.11.9",
        platform="Linux 6.1 x86_64",
        cpu="Example CPU @ 2.60GHz",
        n_cpus=2,
        memory_gib=7.8,
        gpu=None,
        packages={"numpy": "2.2.6", "scikit-learn": "1.7.0", "librosa": "0.11.0"},
    )


def features(framework: str) -> FeaturesRef:
    if framework == "torch":
        title = "Log-mel frames: 64 bands, 22.05 kHz, window 2048, hop 512"
        return FeaturesRef(name="logmel64", version=1, title=title, n_columns=64, sample_rate_hz=22050)
    title = "Time means of 40 MFCC, 12 chroma and 128 mel; 22.05 kHz, window 2048, hop 512"
    return FeaturesRef(name="stats180", version=1, title=title, n_columns=180, sample_rate_hz=22050)


def unscored(row: str, status: str, reason: str, **changes: object) -> RunRecord:
    """Return a failed or skipped row, which holds nothing but its plan and its reason."""
    whole = record(row, of="torch-cnn", **changes)
    return RunRecord(
        **{
            name: getattr(whole, name)
            for name in (
                *("run_id", "row", "suite", "model", "normalisation", "corpora", "folds_total", "seeds"),
                *("environment", "code", "created", "features", "train", "test"),
            )
        },
        status=status,
        reason=reason,
    )


def holdout() -> list[RunRecord]:
    """Return twelve models on the hold-out suite, with a failed and a skipped one."""
    rows = [record(name, seeds=(0,) if MODELS[name][0] == "linear" else (0, 1, 2)) for name in MODELS]
    rows[-1] = replace(rows[-1], warnings=("constant predictions on fold-0, seed 1 (UAR exactly 1/8)",))
    rows.append(unscored("wide-cnn", "failed", "worker killed at its memory limit of 4,096 MiB"))
    rows.append(unscored("keras-cnn", "skipped", "keras is not installed: pip install 'ser-bench[keras]'"))
    return rows


def loso() -> list[RunRecord]:
    """Return ranked rows: 24 speakers, 24 folds, one transductive row."""
    at = suite(
        "ravdess-loso", title="RAVDESS, leave one speaker out", notes=(), protocol="Every speaker is tested once."
    )
    shared = {"suite": at, "n_test": 1438, "n_test_speakers": 24, "n_folds": 24}
    rows = [record(name, **shared) for name in MODELS]
    return [*rows, record("lda-by-speaker", of="lda", level=0.6, normalisation="speaker", **shared)]


PUBLISHED = (
    Reference(
        label="WavLM large",
        kind="published",
        source="A. Author et al. (2024), A Benchmark, table 2",
        protocol="6 folds of 4 actors, speaker-disjoint",
        date="2024-06",
        uar=0.72,
        war=0.7222,
    ),
    Reference(
        label="Human listeners",
        kind="human",
        source="B. Author (2014)",
        protocol="all intended emotions, audio only",
        war=0.409,
    ),
)


def by_group(uars: dict[str, float], n: int = 100, speakers: int = 24) -> GroupScores:
    """Return a recall by group in which every group has the same three of four classes."""
    classes = FOUR[:3]
    return GroupScores(
        classes=classes,
        n_unknown=7,
        groups=tuple(
            GroupScore(value=value, n=n, n_speakers=speakers, uar=uar, recalls=dict.fromkeys(classes, uar))
            for value, uar in uars.items()
        ),
    )


def held_against() -> list[RunRecord]:
    """Return ranked rows with published results, a band for hand-made features, and recall by group."""
    band = Band(low=0.34, high=0.63, approaches=("hand-made",))
    at = suite("ravdess-loso", title="RAVDESS, leave one speaker out", notes=(), references=PUBLISHED, bands=(band,))
    level = {"chance": 0.13, "lda": 0.47, "svm-rbf": 0.72, "logreg": 0.2, "knn": 0.2, "torch-cnn": 0.72}
    shared = {"suite": at, "n_test": 1438, "n_test_speakers": 24, "n_folds": 24}
    return [
        replace(
            made := record(name, **shared),
            scores={**made.scores, "uar": replace(made.scores["uar"], value=uar)},
            by_group={
                "intensity": by_group({"normal": uar - 0.05, "strong": uar + 0.05}),
                "gender": None if name == "knn" else by_group({"female": uar, "male": uar - 0.02}, n=719, speakers=12),
            },
        )
        for name, uar in level.items()
    ]


def control() -> list[RunRecord]:
    """Return a declared control."""
    at = suite(
        "ravdess-random-5fold",
        title="RAVDESS, random 5-fold (control)",
        declares=("shared-speaker",),
        notes=(),
        protocol="Random 5-fold, stratified by class; speakers stand on both sides.",
    )
    shared = {"suite": at, "n_test": 1438, "n_test_speakers": 24, "n_folds": 5}
    return [record(name, level=min(0.9, 1.6 * MODELS[name][1]), **shared) for name in ("chance", "svm-rbf", "lda")]


def partial() -> list[RunRecord]:
    """Return rows of a partial corpus: 2 of 5 folds."""
    at = suite("crema-d-speaker-5fold", title="CREMA-D, speaker-disjoint 5-fold", classes=FOUR, labels="four", notes=())
    shared = {"suite": at, "n_test": 400, "n_test_speakers": 20, "n_folds": 2, "corpora": (crema_d(),)}
    return [record(name, folds_total=5, **shared) for name in ("chance", "svm-rbf", "lda")]


def demo() -> list[RunRecord]:
    """Return rows on synthetic speech."""
    at = suite("demo", title="Demo on synthetic speech", classes=FOUR, labels="four", notes=())
    shared = {"suite": at, "n_test": 192, "n_test_speakers": 8, "n_folds": 4, "corpora": (toy("toy-a"),)}
    return [record(name, **shared) for name in ("chance", "majority", "logreg", "svm-rbf")]


def cross() -> list[RunRecord]:
    """Return every ordered pair of three corpora, two of them partial, with a failure in one pair."""
    at = suite(
        "english-four-cross",
        title="Four classes across English corpora",
        classes=FOUR,
        labels="four",
        sample_rate_hz=11025,
        protocol="Train on one corpus, test on another, over the classes both have; every ordered pair.",
        notes=(),
    )
    four = ravdess(n_used=671, dropped={"label outside the scheme": 769}, per_class=dict.fromkeys(FOUR, 168))
    corpora = {c.name: c for c in (four, crema_d(), tess())}
    rows = []
    for train, test in permutations(corpora, 2):
        shared = {"suite": at, "train": train, "test": test, "corpora": (corpora[train], corpora[test])}
        shared |= {"n_test": corpora[test].n_used, "n_test_speakers": corpora[test].speakers}
        for name in ("chance", "logreg", "lda", "svm-rbf", "random-forest"):
            if (train, test, name) == ("tess", "ravdess", "random-forest"):
                rows.append(unscored(name, "failed", "ValueError: only one class in training", **shared))
            else:
                rows.append(record(name, level=0.35 if test == "tess" else 0.45, **shared))
    return rows


def hostile() -> list[RunRecord]:
    """Return rows in which every text that a stranger can write is hostile."""
    names = list(HOSTILE)
    classes = tuple(names[:8])
    at = suite(title=names[0], protocol=names[4], labels=names[1], classes=classes, notes=tuple(names))
    references = tuple(
        Reference(label=name, kind="published", source=name, protocol=name, date=name, uar=0.5) for name in names
    )
    bands = (Band(high=0.01, cause_high=names[0]),)
    at = replace(at, references=references, bands=bands)
    groups = {name: by_group(dict.fromkeys(names, 0.5)) for name in names}
    corpus = ravdess(title=names[5], licence=names[3], version=names[8], dropped=dict.fromkeys(names, 1))
    corpus = replace(
        corpus,
        examples={name: (name,) for name in names},
        per_class=dict.fromkeys(names, 5),
        merged=dict.fromkeys(names, 1),
        unselected=dict.fromkeys(names, 1),
    )
    rows = []
    for i, name in enumerate(names):
        bad = replace(model("mlp"), title=name, origin=name, framework=name, params={name: name}, device=name)
        row = record(name, of="mlp", suite=at, corpora=(corpus,), run_id=f"{i}{name}", created=name)
        own = replace(row.features, name=name, title=name)
        row = replace(row, model=bad, features=own, normalisation=name, warnings=(name,), absent_classes=(name,))
        steps = (SelectionStep(step=1, score=0.5, dropped=name), SelectionStep(step=2, score=0.6, added=name))
        row = replace(
            row,
            search=(SearchPoint(params={name: name}, scores={name: (0.5, 0.6)}),),
            selection={name: steps},
            importances=(Importances(kind=name, n=30, values={name: 0.1}),),
        )
        rows.append(replace(row, by_group=groups))
    failed = [unscored(f"f{name}", "failed", name, suite=at, corpora=(corpus,)) for name in names]
    return rows + failed


def _fold(i: int, n_test: int, n_speakers: int) -> FoldRef:
    return FoldRef(
        fold_id=f"fold-{i}",
        n_train=1008,
        n_dev=252,
        n_test=n_test,
        train_speakers=17,
        dev_speakers=4,
        test_speakers=n_speakers,
        digest=digest("fold", i),
    )


def _score(value: float, n_speakers: int, half: float) -> Score:
    if n_speakers < 3:
        return Score(value=value, method=f"none: {n_speakers} speakers", n_speakers=n_speakers)
    method = f"delete-one-speaker jackknife, t({n_speakers - 1})"
    if n_speakers >= 20:
        method = f"cluster bootstrap over {n_speakers} speakers, 10,000 draws"
    low, high = max(0.0, value - half), min(1.0, value + half)
    return Score(value=value, low=low, high=high, method=method, n_speakers=n_speakers)


def _confusion(rng: random.Random, classes: tuple[str, ...], n: int, level: float) -> tuple[tuple[int, ...], ...]:
    rows = []
    for i in range(len(classes)):
        spoken = n // len(classes) + (n % len(classes) if i == 0 else 0)
        hits = min(spoken, max(0, round(spoken * (level + rng.uniform(-0.15, 0.25) * (level > 0.2)))))
        counts = [0] * len(classes)
        counts[i] = hits
        others = [j for j in range(len(classes)) if j != i]
        for _ in range(spoken - hits):
            counts[rng.choice(others[:3] if rng.random() < 0.6 else others)] += 1
        rows.append(tuple(counts))
    return tuple(rows)
