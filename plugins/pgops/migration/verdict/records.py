"""What rehearsals came to, kept for deployments: reports and snapshots in the bucket, verdicts in the ledger."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from pgops.ledger import Ledger
from pgops.migration.proof.snapshot import Snapshot
from pgops.migration.rehearsal.validation import Validated
from pgops.migration.verdict.report import as_html
from pgops.storage import Bucket

_WHEN = ("before", "after")
# Connecting, the version ledger and the pauses are no part of a forecast, and of short ones they are the most.
_TELLING_SECONDS = 1.0


def correction_from(history: Sequence[Mapping[str, Any]]) -> float:
    """Actual to forecast of earlier deployments: the median, between a tenth and ten; 1 without experience.

    Those that were short in both say nothing: a forecast of a millisecond that took ten is no reason to expect ten
    hours where one was forecast.
    """
    ratios = [
        one["actual_seconds"] / one["forecast_seconds"]
        for one in history
        if one["forecast_seconds"] and max(one["actual_seconds"], one["forecast_seconds"]) >= _TELLING_SECONDS
    ]
    return min(max(statistics.median(ratios), 0.1), 10.0) if ratios else 1.0


@dataclass(frozen=True)
class Verdict:
    """A verdict as deployments read it from the ledger and the bucket."""

    version: str
    checksum: str
    passed: bool
    reasons: tuple[str, ...]
    folder: str
    forecast: dict[str, Any] | None
    run_id: str = ""
    at: datetime | None = None


def keep(validated: Validated, bucket: Bucket, ledger: Ledger, run_id: str) -> Verdict:
    """Store the report and the snapshots in the bucket, and the verdict in the ledger, last."""
    judged = validated.judged
    seen, at = judged.rehearsal, datetime.now(UTC)
    name = f"{seen.version}-{seen.checksum[:12]}-{at:%Y%m%dT%H%M%SZ}"
    folder = bucket.key(judged.database, "validations", name)
    if validated.rehearsed is not None and validated.rehearsed.after is not None:
        for when in _WHEN:
            snapshot: Snapshot = getattr(validated.rehearsed, when)
            bucket.put_json(f"{folder}/{when}.json", json.loads(snapshot.to_json()))
    page = as_html(judged, f"{at:%Y-%m-%d %H:%M} UTC")
    bucket.put(f"{folder}/report.html", page.encode(), "text/html; charset=utf-8")
    bucket.put_json(f"{folder}/report.json", {"passed": judged.passed, "reasons": judged.reasons, **asdict(judged)})
    expected = asdict(judged.forecast) if judged.forecast else None
    ledger.rows(
        "record_validation",
        database=judged.database,
        version=seen.version,
        name=seen.name,
        checksum=seen.checksum,
        run_id=run_id,
        passed=judged.passed,
        reasons=list(judged.reasons),
        forecast=json.dumps(expected),
        folder=folder,
    )
    return Verdict(seen.version, seen.checksum, judged.passed, judged.reasons, folder, expected, run_id, at)


def newest_verdict(ledger: Ledger, database: str, version: str) -> Verdict | None:
    """What the last rehearsal of a version came to."""
    for row in ledger.rows("newest_validation", database=database, version=version):
        return Verdict(version=version, **{**row, "reasons": tuple(row["reasons"])})
    return None


def snapshots_of(bucket: Bucket, verdict: Verdict) -> tuple[Snapshot, Snapshot]:
    """The schema before and after, as it was rehearsed."""
    before, after = (Snapshot.from_json(json.dumps(bucket.get_json(f"{verdict.folder}/{when}.json"))) for when in _WHEN)
    return before, after
