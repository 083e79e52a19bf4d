"""eGeMAPSv02 and ComParE 2016, the functionals of openSMILE (the extra ``opensmile``).

``egemaps`` and ``compare2016`` see each file at its own rate: openSMILE does not resample, its frames and bands are
stated in seconds and hertz. Many functionals still hang on the rate, so that where a corpus or its copy mixes rates,
these tell the files apart; ``egemaps-16k`` and ``compare2016-16k`` see all files at 16 kHz. Licence: research.

Column names are openSMILE's own, in its order, ``[3]`` written ``_3``. They are spelt out here by rule, so that a set
can be named, listed and selected from without the package.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable
from typing import Any, Literal

from ser_bench.errors import PrerequisiteError
from ser_bench.features.contract import Analysis, FeatureSet, Float32


@functools.cache
def _extractor(name: str) -> Any:
    """Return the extractor of a set; building one parses its configuration, so each process keeps its own.

    Raises:
        PrerequisiteError: If TensorFlow is in this process: openSMILE, loaded after it, corrupts memory and aborts.
    """
    if "tensorflow" in sys.modules:
        raise PrerequisiteError(
            "openSMILE can't start in a process that has loaded TensorFlow; it needs one of its own"
        )
    import opensmile

    return opensmile.Smile(feature_set=opensmile.FeatureSet[name], feature_level=opensmile.FeatureLevel.Functionals)


def _compute_egemaps(analysis: Analysis) -> Float32:
    """Return 88 functionals, shape (88,).

    Source: Eyben et al. (2016), The Geneva Minimalistic Acoustic Parameter Set for Voice Research; version 02.
    """
    return _extractor("eGeMAPSv02")(analysis.samples, analysis.sample_rate_hz).reshape(-1)


def _compute_compare2016(analysis: Analysis) -> Float32:
    """Return 6,373 functionals, shape (6373,).

    Source: Schuller et al. (2016), The INTERSPEECH 2016 Computational Paralinguistics Challenge.
    """
    return _extractor("ComParE_2016")(analysis.samples, analysis.sample_rate_hz).reshape(-1)


def _crossed(stems: Iterable[str], functionals: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{stem}_{functional}" for stem in stems for functional in functionals)


_MEAN_SPREAD = ("amean", "stddevNorm")
_CONTOUR = (
    *_MEAN_SPREAD,
    *(f"percentile{percent}.0" for percent in (20, 50, 80)),
    "pctlrange0-2",
    *(f"{what}{way}Slope" for way in ("Rising", "Falling") for what in ("mean", "stddev")),
)
_FORMANTS = (f"F{n}{what}_sma3nz" for n in (1, 2, 3) for what in ("frequency", "bandwidth", "amplitudeLogRelF0"))
_QUALITY = ("jitterLocal", "shimmerLocaldB", "HNRdBACF", "logRelF0-H1-H2", "logRelF0-H1-A3")
_SPECTRUM = ("alphaRatio{}", "hammarbergIndex{}", "slope{}0-500", "slope{}500-1500", "spectralFlux{}")

_EGEMAPS = {
    "pitch": _crossed(("F0semitoneFrom27.5Hz_sma3nz",), _CONTOUR),
    "loudness": _crossed(("loudness_sma3",), _CONTOUR),
    "spectrum": _crossed(("spectralFlux_sma3", *(f"mfcc{n}_sma3" for n in range(1, 5))), _MEAN_SPREAD),
    "voice": _crossed((f"{what}_sma3nz" for what in _QUALITY), _MEAN_SPREAD),
    "formants": _crossed(_FORMANTS, _MEAN_SPREAD),
    "voiced": _crossed(
        (f"{what.format('V')}_sma3nz" for what in (*_SPECTRUM, *(f"mfcc{n}{{}}" for n in range(1, 5)))), _MEAN_SPREAD
    ),
    "unvoiced": tuple(f"{what.format('UV')}_sma3nz_amean" for what in _SPECTRUM),
    "timing": (
        "loudnessPeaksPerSec",
        "VoicedSegmentsPerSec",
        *(f"{what}VoicedSegmentLengthSec" for what in ("Mean", "Stddev")),
        *(f"{what}UnvoicedSegmentLength" for what in ("Mean", "Stddev")),
    ),
    "level": ("equivalentSoundLevel_dBp",),
}

_SPREAD = (
    *("range", "maxPos", "minPos", "quartile1", "quartile2", "quartile3", "iqr1-2", "iqr2-3", "iqr1-3"),
    *("percentile1.0", "percentile99.0", "pctlrange0-1", "stddev", "skewness", "kurtosis"),
)
_LEVELS = ("upleveltime25", "upleveltime50", "upleveltime75", "upleveltime90", "risetime", "leftctime")
_PREDICTION = ("lpgain", *(f"lpc{n}" for n in range(5)))
_SEGMENTS = ("meanSegLen", "maxSegLen", "minSegLen", "segLenStddev")
_REGRESSION = ("linregc1", "linregc2", "linregerrQ", "qregc1", "qregc2", "qregc3", "qregerrQ", "centroid")
_PEAKS = (
    *("rqmean", "meanPeakDist", "peakDistStddev", "peakRangeAbs", "peakRangeRel", "peakMeanAbs"),
    *("peakMeanMeanDist", "peakMeanRel", "minRangeRel"),
    *(f"{what}{way}Slope" for way in ("Rising", "Falling") for what in ("mean", "stddev")),
)
_SPECTRAL = (
    *("fband250-650", "fband1000-4000", *(f"spectralRollOff{percent}.0" for percent in (25, 50, 75, 90))),
    *(f"spectral{what}" for what in ("Flux", "Centroid", "Entropy", "Variance", "Skewness", "Kurtosis", "Slope")),
    *("psySharpness", "spectralHarmonicity"),
)
_VOICE = ("F0final", "voicingFinalUnclipped", "jitterLocal", "jitterDDP", "shimmerLocal", "logHNR")


def _energy(suffix: str) -> tuple[str, ...]:
    """Return the 4 tracks of level, ``suffix`` being ``_sma`` or ``_sma_de`` (their differences)."""
    return tuple(
        f"{name}{suffix}" for name in ("audspec_lengthL1norm", "audspecRasta_lengthL1norm", "pcm_RMSenergy", "pcm_zcr")
    )


def _spectrum(suffix: str) -> tuple[str, ...]:
    """Return the 55 tracks of the spectrum."""
    return (
        *(f"audSpec_Rfilt{suffix}_{n}" for n in range(26)),
        *(f"pcm_fftMag_{name}{suffix}" for name in _SPECTRAL),
        *(f"mfcc{suffix}_{n}" for n in range(1, 15)),
    )


_COMPARE = {
    "distribution": _crossed(
        _energy("_sma") + _energy("_sma_de") + _spectrum("_sma") + _spectrum("_sma_de"),
        _SPREAD + _SEGMENTS + _LEVELS + _PREDICTION,
    ),
    "voice": (
        *_crossed(
            (f"{name}{suffix}" for suffix in ("_sma", "_sma_de") for name in _VOICE),
            (
                "amean",
                "flatness",
                "posamean",
                "rqmean",
                *_SPREAD[:3],
                *_REGRESSION,
                *_SPREAD[3:],
                *_LEVELS,
                *_PREDICTION,
            ),
        ),
        *(f"F0final_sma_ff0_{name}" for name in ("nnz", *_SEGMENTS)),
    ),
    "course": _crossed(_energy("_sma") + _spectrum("_sma"), ("amean", "flatness", *_PEAKS, *_REGRESSION)),
    "delta-course": _crossed(_energy("_sma_de") + _spectrum("_sma_de"), ("flatness", "posamean", *_PEAKS)),
}


def _groups(columns: dict[str, tuple[str, ...]]) -> dict[str, tuple[int, int]]:
    found, at = {}, 0
    for name, those in columns.items():
        found[name] = (at, at := at + len(those))
    return found


def _feature_set(
    name: str,
    title: str,
    columns: dict[str, tuple[str, ...]],
    compute: Callable[[Analysis], Float32],
    rate_hz: int | Literal["native"],
) -> FeatureSet:
    """Return a set of openSMILE's functionals at a rate, the groups of its columns in their order."""
    rate = "at each file's own rate" if rate_hz == "native" else "at 16 kHz"
    return FeatureSet(
        name=name,
        version=1,
        title=f"openSMILE {title} functionals, {rate}",
        kind="vector",
        columns=tuple(column for those in columns.values() for column in those),
        compute=compute,
        packages=("opensmile", "numpy") if rate_hz == "native" else ("opensmile", "numpy", "soxr"),
        sample_rate_hz=rate_hz,
        requires=("opensmile",),
        extra="opensmile",
        groups=_groups(columns),
    )


EGEMAPS = _feature_set("egemaps", "eGeMAPSv02, 88", _EGEMAPS, _compute_egemaps, "native")
EGEMAPS_16K = _feature_set("egemaps-16k", "eGeMAPSv02, 88", _EGEMAPS, _compute_egemaps, 16_000)
COMPARE2016 = _feature_set("compare2016", "ComParE_2016, 6,373", _COMPARE, _compute_compare2016, "native")
COMPARE2016_16K = _feature_set("compare2016-16k", "ComParE_2016, 6,373", _COMPARE, _compute_compare2016, 16_000)
