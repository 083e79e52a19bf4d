"""What ``ser-bench run --json`` prints (docs/json.md)."""

from __future__ import annotations

from typing import Any


def answer(suite: str, status: str, out: str | None, prepared: Any, records: list[Any], gap: Any) -> dict[str, Any]:
    """Return the JSON contract of ``run`` (docs/json.md)."""
    import msgspec

    return {
        "suite": suite,
        "status": status,
        "out": out,
        "corpora": [
            {
                "name": c.name,
                "n": c.n,
                "n_used": c.n_used,
                "speakers": c.speakers,
                "expected": c.expected,
                "dropped": c.dropped,
                "copies": c.copies,
                "unselected": c.unselected,
                "merged": c.merged,
                "per_class": c.per_class,
                "fingerprint": c.fingerprint,
                "synthetic": c.synthetic,
            }
            for c in prepared.corpora
        ],
        "rows": [_row(record) for record in records],
        "gap": None if gap is None else msgspec.to_builtins(gap),
    }


def _row(record: Any) -> dict[str, Any]:
    import msgspec

    def score(name: str, part: str = "value") -> float | None:
        return getattr(record.scores[name], part) if name in record.scores else None

    timing = record.timing
    latency = timing.latency if timing else None
    row = {
        "model": record.row,
        "status": record.status,
        "reason": record.reason,
        "features": record.features.name if record.features else None,
        "normalisation": record.normalisation,
        "params": record.model.params,
        "device": record.model.device,
        "cut": record.model.cut,
        "n_test": record.n_test,
        "n_test_speakers": record.n_test_speakers,
        "folds": len(record.folds),
        "folds_total": record.folds_total,
        "seeds": len(record.seeds),
        "uar": score("uar"),
        "uar_low": score("uar", "low"),
        "uar_high": score("uar", "high"),
        "interval": next((record.scores[name].method for name in ("uar", "ccc") if name in record.scores), None),
        "war": score("war"),
        "macro_f1": score("macro_f1"),
        "macro_precision": score("macro_precision"),
        **{name: score(name) for name in ("ccc", "rmse", "pearson")},
        **{f"ccc_{end}": score("ccc", end) for end in ("low", "high")},
        "targets": record.model.targets,
        "soft": None if record.soft is None else msgspec.to_builtins(record.soft),
        "uar_fold_mean": record.uar_fold_mean,
        "uar_fold_sd": record.uar_fold_sd,
        "ccc_fold_mean": record.ccc_fold_mean,
        "ccc_fold_sd": record.ccc_fold_sd,
        **{f"uar_{side}": None if "ccc" in record.scores else record.sides.get(side) for side in ("train", "dev")},
        **{f"ccc_{side}": record.sides.get(side) if "ccc" in record.scores else None for side in ("train", "dev")},
        "fit_s": timing.fit_s if timing else None,
        "predict_s": timing.predict_s if timing else None,
        "latency_ms_p50": latency.p50_ms if latency else None,
        "latency_ms_p95": latency.p95_ms if latency else None,
        "latency_decode_ms": latency.decode_ms if latency else None,
        "latency_features_ms": latency.features_ms if latency else None,
        "latency_predict_ms": latency.predict_ms if latency else None,
        "rtf": timing.rtf if timing else None,
        "timed_cell": timing.cell if timing else None,
        "peak_mib": timing.peak_mib if timing else None,
        "comparable": record.comparable,
        "run_id": record.run_id,
        "warnings": list(record.warnings),
        "stress": [_stressed(of) for of in record.stress],
    }
    return {**row, "train": record.train, "test": record.test} if record.train else row


def _stressed(of: Any) -> dict[str, Any]:
    scores = {name: score.value for name, score in of.scores.items()}
    return {
        "condition": of.condition,
        "n": of.n,
        **scores,
        "drop": of.drop.value,
        "drop_low": of.drop.low,
        "drop_high": of.drop.high,
    }
