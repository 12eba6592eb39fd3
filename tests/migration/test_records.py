"""What earlier deployments teach the next forecast."""

from __future__ import annotations

import pytest

from pgops.migration.verdict.records import correction_from


def history(*pairs: tuple[float, float]) -> list[dict[str, float]]:
    return [{"forecast_seconds": forecast, "actual_seconds": actual} for forecast, actual in pairs]


def test_without_experience_a_forecast_stands():
    assert correction_from([]) == 1


def test_deployments_that_took_twice_as_long_double_the_next_forecast():
    assert correction_from(history((100, 200), (300, 600), (50, 100))) == pytest.approx(2, rel=0.02)


def test_the_overhead_of_a_tiny_migration_does_not_multiply_the_forecast_of_the_next():
    assert correction_from(history((0.05, 0.33))) < 1.5


def test_a_tiny_forecast_that_became_minutes_counts():
    assert correction_from(history((0.05, 120))) == 10


def test_one_odd_deployment_among_others_changes_nothing():
    assert correction_from(history((100, 100), (100, 5000), (100, 100))) == 1
