"""Transforms: what they do is what they state, twice the same for one seed; suites spell them strictly."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from ser_bench.audio import AudioSource, decode, decode_known, facts
from ser_bench.augment import (
    KINDS,
    Augment,
    Clip,
    Codec,
    Gain,
    Lowpass,
    Noise,
    Pitch,
    Seeded,
    Shift,
    Speed,
    Stretch,
    Transform,
    read_augment,
)
from ser_bench.errors import UsageError
from ser_bench.suites import Suite, digest, parse_suite

RATE_HZ = 16_000
SEED = hashlib.sha256(b"a seed").hexdigest()[:32]
ONE_OF_EACH = (
    Noise(snr_db=(10.0, 20.0)),
    Stretch(rate=0.8),
    Pitch(semitones=(-2.0, 2.0)),
    Shift(shift_s=(-0.1, 0.1), fill="circular"),
    Speed(factor=1.25),
    Gain(gain_db=-6.0),
    Clip(),
    Lowpass(cutoff_hz=(500.0, 2000.0)),
    Codec(name="ulaw"),
)


def tone(pitch_hz: float = 400.0, seconds: float = 0.5) -> np.ndarray:
    time_s = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    return (0.3 * np.sin(2 * np.pi * pitch_hz * time_s)).astype(np.float32)


def loudest_hz(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.fft.rfftfreq(len(samples), 1 / RATE_HZ)[spectrum.argmax()])


def applied(transform: Transform, samples: np.ndarray, seed: str = SEED) -> np.ndarray:
    return Seeded(transform, seed)(samples, RATE_HZ)


# What they do


def test_every_kind_is_tried_here() -> None:
    assert {type(transform) for transform in ONE_OF_EACH} == set(KINDS.values())


@given(snr_db=st.floats(-10, 40), seed=st.binary(min_size=16, max_size=16))
def test_noise_has_its_stated_snr_within_a_tenth_of_a_decibel(snr_db: float, seed: bytes) -> None:
    clean = tone()
    noise = applied(Noise(snr_db=snr_db), clean, seed.hex()).astype(np.float64) - clean
    measured = 10 * np.log10(np.mean(np.square(clean, dtype=np.float64)) / np.mean(np.square(noise)))
    assert measured == pytest.approx(snr_db, abs=0.1)


def test_noise_is_white() -> None:
    clean = tone()
    power = np.abs(np.fft.rfft(applied(Noise(snr_db=0.0), clean) - clean)) ** 2
    quarters = [part.mean() for part in np.array_split(power, 4)]
    assert max(quarters) < 1.3 * min(quarters)


def test_a_range_is_drawn_from_anew_for_every_seed_and_never_left() -> None:
    seeds = [hashlib.sha256(bytes([n])).hexdigest()[:32] for n in range(50)]
    gains = [applied(Gain(gain_db=(-6.0, 6.0)), np.ones(1, dtype=np.float32), seed)[0] for seed in seeds]
    db = 20 * np.log10(gains)
    assert -6 <= db.min() < -3 and 3 < db.max() <= 6 and len(set(gains)) == 50


def test_stretching_changes_the_length_and_leaves_the_pitch() -> None:
    slow = applied(Stretch(rate=0.8), tone())
    assert len(slow) == 10_000 and loudest_hz(slow) == pytest.approx(400, rel=0.02)


def test_pitch_moves_by_semitones_and_leaves_the_length() -> None:
    higher = applied(Pitch(semitones=12.0), tone())
    assert len(higher) == 8_000 and loudest_hz(higher) == pytest.approx(800, rel=0.02)


def test_speed_moves_pitch_and_length() -> None:
    fast = applied(Speed(factor=1.25), tone())
    assert len(fast) == 6_400 and loudest_hz(fast) == pytest.approx(500, rel=0.02)


@pytest.mark.parametrize(
    ("shift_s", "fill", "expected"),
    [
        (0.5, "zero", [0, 0, 1, 2]),
        (-0.25, "zero", [2, 3, 4, 0]),
        (0.25, "circular", [4, 1, 2, 3]),
        (-0.25, "circular", [2, 3, 4, 1]),
        (9.0, "zero", [0, 0, 1, 2]),
        (0.0, "zero", [1, 2, 3, 4]),
    ],
)
def test_a_shift_moves_by_seconds_at_most_half_the_length(shift_s: float, fill: Any, expected: list[int]) -> None:
    samples = np.array([1, 2, 3, 4], dtype=np.float32)
    found = Seeded(Shift(shift_s=shift_s, fill=fill), SEED)(samples, 4)
    assert found.tolist() == expected and samples.tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("transform", ONE_OF_EACH, ids=lambda t: type(t).__name__)
def test_the_same_seed_gives_the_same_samples_also_in_another_process(transform: Transform) -> None:
    samples = np.random.RandomState(0).standard_normal(6_000).astype(np.float32)
    before = samples.copy()
    first, sent = applied(transform, samples), Seeded.from_plain(Seeded(transform, SEED).to_plain())
    assert first.dtype == np.float32 and np.isfinite(first).all() and len(first)
    assert np.array_equal(first, sent(samples, RATE_HZ)) and np.array_equal(samples, before)
    other = applied(transform, samples, SEED[::-1])
    assert np.array_equal(first, other) != transform.draws


@pytest.mark.parametrize("transform", ONE_OF_EACH, ids=lambda t: type(t).__name__)
@pytest.mark.parametrize("n", [1, 100])
@pytest.mark.filterwarnings("ignore:n_fft")
def test_the_shortest_sounds_survive(transform: Transform, n: int) -> None:
    assert np.isfinite(applied(transform, np.zeros(n, dtype=np.float32))).all()


def test_decoding_applies_the_transforms_in_order_at_the_rate_asked_for(tmp_path: Path) -> None:
    path = str(tmp_path / "tone.wav")
    soundfile.write(path, tone(), RATE_HZ, subtype="FLOAT")
    steps = (Seeded(Speed(factor=2.0), SEED), Seeded(Noise(snr_db=0.0), SEED))
    plain, changed = AudioSource(path=path), AudioSource(path=path, transforms=steps)
    expected = steps[1](steps[0](decode(plain, 8_000)[0], 8_000), 8_000)
    assert np.array_equal(decode(changed, 8_000)[0], expected) and len(expected) == 2_000
    content = facts(plain).content_id or ""
    assert np.array_equal(decode_known(changed, content)[0], tone())  # a child is told by its utterance's samples


# Who gets which seed


def test_a_childs_seeds_hang_on_the_utterance_the_steps_the_copy_and_the_seed() -> None:
    entry = Augment(steps=(Noise(snr_db=10.0), Gain(gain_db=(-3.0, 3.0))), copies=2)
    others = [
        entry.transforms("b", 1),
        entry.transforms("a", 2),
        msgspec.structs.replace(entry, seed=1).transforms("a", 1),
        msgspec.structs.replace(entry, steps=(Noise(snr_db=11.0), entry.steps[1])).transforms("a", 1),
    ]
    seeds = [tuple(one.seed for one in made) for made in (entry.transforms("a", 1), *others)]
    assert len({seed for pair in seeds for seed in pair}) == 10
    assert entry.transforms("a", 1) == msgspec.structs.replace(entry, copies=1, classes=("x",)).transforms("a", 1)
    assert seeds[0][0] == "d1106e4598930f08ab8ad8942387b227"  # on every machine and Python


# How suites spell them


SUITE = """
title = "T"
version = 1
corpora = ["ravdess"]
labels = "eight"
models = ["chance", "logreg"]
{more}
[protocol]
{protocol}
"""
NOISE = '[[augment]]\nkind = "noise"\nsnr_db = [10, 20]\n'
SIBLINGS = 'kind = "random-kfold"\ndeclares = ["shared-sibling"]'


def parse(more: str = "", protocol: str = 'kind = "speaker-kfold"', augment: str = "") -> Suite:
    text = SUITE.format(more=more, protocol=protocol) + augment
    return parse_suite(text.encode(), "t", "t.toml")


def test_a_table_is_one_transform_or_a_chain_of_them() -> None:
    chain = (
        '[[augment]]\nkind = "chain"\ncopies = 2\nclasses = ["surprise"]\nseed = 7\n'
        'steps = [{ kind = "stretch", rate = 0.8 }, { kind = "pitch", semitones = [-2, 2] }]\n'
    )
    assert parse(augment=NOISE + chain).augment == (
        Augment(steps=(Noise(snr_db=(10.0, 20.0)),)),
        Augment(steps=(Stretch(rate=0.8), Pitch(semitones=(-2.0, 2.0))), copies=2, classes=("surprise",), seed=7),
    )


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ('kind = "noize"\nsnr_db = 10', "entry 1: unknown kind 'noize' (did you mean 'noise'?)"),
        ("snr_db = 10", "entry 1: a kind is missing (known: chain, clip, codec, gain,"),
        ('kind = "noise"\nsnr = 10', "entry 1, noise: unknown key 'snr' (did you mean 'snr_db'?)"),
        ('kind = "noise"', "missing required field `snr_db`"),
        ('kind = "noise"\nsnr_db = "loud"', "Expected `float | array`, got `str`"),
        ('kind = "noise"\nsnr_db = [20, 10]', "snr_db = [20.0, 10.0]: a number from -30 to 120 expected, or ["),
        ('kind = "stretch"\nrate = nan', "rate = nan: a number from 0.25 to 4 expected"),
        ('kind = "noise"\nsnr_db = 10\ncopies = 0', "copies = 0: at least 1 expected"),
        ('kind = "gain"\ngain_db = 3\ncopies = 2', "copies = 2 of steps that draw nothing are all equal"),
        ('kind = "noise"\nsnr_db = 10\nsteps = []', 'steps = […] belongs to kind = "chain"'),
        ('kind = "chain"\nsteps = []', "steps = []: at least one expected"),
        ('kind = "chain"', "a chain takes steps"),
        ('kind = "chain"\nsnr_db = 1\nsteps = [{ kind = "gain", gain_db = 3 }]', "entry 1: unknown key 'snr_db'"),
        ('kind = "chain"\nsteps = [{ kind = "gain", gain_db = 3, copies = 2 }]', "gain: unknown key 'copies'"),
        ('kind = "chain"\nsteps = [{ kind = "gain", gain_db = "x" }]', "got `str` (at steps[0].gain_db)"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_words(table: str, told: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse(augment="[[augment]]\n" + table)
    assert raised.value.message.startswith("t.toml: augment, entry 1") and told in raised.value.message


def test_augment_must_be_tables() -> None:
    with pytest.raises(UsageError, match="augment: tables expected"):
        read_augment("noise", "t.toml")


def test_augmentation_and_oversampling_change_the_digest_and_their_absence_does_not() -> None:
    plain = parse()
    found = {
        digest(suite)
        for suite in (
            plain,
            parse(augment=NOISE),
            parse(augment=NOISE + "seed = 1\n"),
            parse("oversample = true"),
            parse('oversample = ["surprise"]'),
        )
    }
    assert len(found) == 5
    assert digest(plain) == digest(parse("oversample = false\naugment_before_split = false\naugment = []"))


def test_augmenting_before_the_split_is_for_random_protocols_that_declare_it() -> None:
    before = "augment_before_split = true"
    assert parse(before, SIBLINGS, NOISE).augment_before_split
    for protocol in ('kind = "speaker-kfold"', 'kind = "random-kfold"', 'kind = "loso"'):
        with pytest.raises(UsageError, match="a random protocol may repeat, and must declare") as raised:
            parse(before, protocol, NOISE)
        assert SIBLINGS in (raised.value.hint or "")
    with pytest.raises(UsageError, match=r"without an \[\[augment\]\]"):
        parse(before, SIBLINGS)


def test_no_row_can_leave_out_what_was_augmented_before_the_split() -> None:
    text = SUITE.format(more="augment_before_split = true", protocol=SIBLINGS) + NOISE
    bare = text.replace('"logreg"', '{ model = "logreg", augment = false }')
    with pytest.raises(UsageError, match="row 'logreg': augment = false"):
        parse_suite(bare.encode(), "t", "t.toml")
