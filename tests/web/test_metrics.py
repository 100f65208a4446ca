"""What /metrics shows, against the table in docs/monitoring.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from bridgekit.core.histogram import Histogram
from bridgekit.model.entry import Direction, Stats
from bridgekit.web.metrics import Scrape, render
from bridgekit.web.watched import Ages, LoginState, Numbers
from tests.web.fakes import EMPTY, NOW

DOCS: Final = Path(__file__).parents[2] / "docs" / "monitoring.md"

M, R = Direction.MATRIX, Direction.REMOTE


def commits(*seconds: float) -> Histogram:
    histogram = Histogram()
    for value in seconds:
        histogram.observe(value)
    return histogram


BUSY = Numbers(
    transactions=12,
    events={M: 30, R: 40},
    duplicates={M: 2},
    malformed=1,
    completed={(M, "done", ""): 25, (M, "dead", "rejected"): 2, (R, "uncertain", ""): 1},
    retries={R: 5},
    missing=4,
    late=3,
    unknown_anchors=1,
    skipped=8,
    calls=2,
    calls_begun=9,
    requests={"2xx": 50, "4xx": 6, "no_answer": 7},
    rate_limited=2,
    commits=commits(0.0005, 0.004, 0.004, 20.0),
)
QUIET = Numbers(commits=Histogram())


def scrape(
    stats: Stats | None = EMPTY, numbers: Numbers = BUSY, ages: Ages | None = None, *logins: LoginState
) -> Scrape:
    return Scrape(
        now=NOW,
        stats=stats,
        numbers=numbers,
        ages=ages or Ages(ping=2.5, transaction=8.0),
        sessions=logins,
        version="1.2.3",
        network="fake",
    )


def text(shown: Scrape) -> str:
    return render(shown, "")[0].decode()


def value(shown: str, line: str) -> float:
    (found,) = re.findall(rf"^{re.escape(line)} (\S+)$", shown, re.MULTILINE)
    return float(found)


def test_the_first_number_is_the_age_of_the_oldest_waiting_entry() -> None:
    shown = text(scrape(Stats(3, 0, NOW - 61_500, None, 2, 70)))
    first, second = [line for line in shown.splitlines() if not line.startswith("#")][:2]
    assert first == 'bridgekit_oldest_waiting_entry_seconds{direction="matrix"} 61.5'
    assert second == 'bridgekit_oldest_waiting_entry_seconds{direction="remote"} 0.0'
    assert value(shown, 'bridgekit_waiting_entries{direction="matrix"}') == 3
    assert value(shown, "bridgekit_staged_events") == 70
    assert value(shown, "bridgekit_dead_letters") == 2


def test_a_clock_that_was_set_back_shows_no_negative_age() -> None:
    assert (
        value(text(scrape(Stats(1, 0, NOW + 5, None, 0))), 'bridgekit_oldest_waiting_entry_seconds{direction="matrix"}')
        == 0
    )


def test_every_number_has_its_place() -> None:
    logins = (LoginState("a", "connected"), LoginState("b", "connected"), LoginState("c", "waiting", "why"))
    shown = text(scrape(EMPTY, BUSY, None, *logins))
    expected = {
        "bridgekit_database_up": 1,
        "bridgekit_transactions_received_total": 12,
        'bridgekit_events_received_total{direction="remote"}': 40,
        'bridgekit_duplicate_events_dropped_total{direction="matrix"}': 2,
        'bridgekit_duplicate_events_dropped_total{direction="remote"}': 0,
        "bridgekit_malformed_events_total": 1,
        'bridgekit_entries_completed_total{code="",direction="matrix",outcome="done"}': 25,
        'bridgekit_entries_completed_total{code="rejected",direction="matrix",outcome="dead"}': 2,
        'bridgekit_entries_completed_total{code="",direction="remote",outcome="uncertain"}': 1,
        'bridgekit_entries_completed_total{code="",direction="remote",outcome="done"}': 0,
        'bridgekit_entry_retries_total{direction="remote"}': 5,
        "bridgekit_missing_events_bridged_total": 4,
        "bridgekit_late_events_bridged_total": 3,
        "bridgekit_anchors_not_found_total": 1,
        "bridgekit_old_messages_skipped_total": 8,
        "bridgekit_calls": 2,
        "bridgekit_calls_begun_total": 9,
        'bridgekit_sessions{state="connected"}': 2,
        'bridgekit_sessions{state="waiting"}': 1,
        'bridgekit_sessions{state="stopped"}': 0,
        'bridgekit_homeserver_requests_total{status="2xx"}': 50,
        'bridgekit_homeserver_requests_total{status="5xx"}': 0,
        'bridgekit_homeserver_requests_total{status="no_answer"}': 7,
        "bridgekit_homeserver_rate_limited_total": 2,
        "bridgekit_homeserver_ping_age_seconds": 2.5,
        "bridgekit_last_transaction_age_seconds": 8,
        'bridgekit_commit_duration_seconds_bucket{le="0.001"}': 1,
        'bridgekit_commit_duration_seconds_bucket{le="0.005"}': 3,
        'bridgekit_commit_duration_seconds_bucket{le="10.0"}': 3,
        'bridgekit_commit_duration_seconds_bucket{le="+Inf"}': 4,
        "bridgekit_commit_duration_seconds_count": 4,
        "bridgekit_commit_duration_seconds_sum": 20.0085,
    }
    for line, number in expected.items():
        assert value(shown, line) == pytest.approx(number), line
    assert 'bridgekit_build_info{network="fake",python="' in shown
    for login in logins:
        assert f'"{login.login}"' not in shown


def test_without_the_database_its_numbers_are_missing_and_the_rest_is_there() -> None:
    shown = text(scrape(None))
    assert not re.search(r"^bridgekit_(oldest|waiting|staged|dead)", shown, re.MULTILINE)
    assert value(shown, "bridgekit_database_up") == 0
    assert value(shown, "bridgekit_transactions_received_total") == 12


def test_what_never_happened_has_no_age() -> None:
    shown = text(scrape(EMPTY, QUIET, Ages()))
    assert "\nbridgekit_homeserver_ping_age_seconds " not in shown
    assert "\nbridgekit_last_transaction_age_seconds " not in shown


@pytest.mark.parametrize("numbers", [BUSY, QUIET], ids=["busy", "quiet"])
def test_prometheus_can_read_it_in_both_formats(numbers: Numbers) -> None:
    plain = [family.name for family in parse(text(scrape(numbers=numbers)))]
    body, content_type = render(scrape(numbers=numbers), "application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    families = parse_openmetrics(body.decode())  # type: ignore[no-untyped-call]  # the library says no types here
    open_metrics = [family.name for family in families]
    assert plain[0] == open_metrics[0] == "bridgekit_oldest_waiting_entry_seconds"
    assert len(plain) == len(set(plain)) == len(open_metrics)


def test_a_bucket_holds_what_is_at_most_its_bound() -> None:
    counts = dict(commits(0.001, 0.00101).cumulative())
    assert (counts["0.001"], counts["0.0025"], counts["+Inf"]) == (1, 2, 2)


def documented() -> dict[str, tuple[str, str]]:
    """Name -> (type, labels) from the table in the documentation."""
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]*) \|", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    return {name: (kind, labels.strip()) for name, kind, labels in rows}


def test_the_table_in_the_documentation_is_true() -> None:
    shown = text(scrape(EMPTY, BUSY, None, LoginState("a", "connected")))
    found: dict[str, tuple[str, str]] = {}
    for family in parse(shown):
        if not family.name.startswith("bridgekit_"):
            assert family.name.startswith("process_")
            continue
        name = family.name + {"counter": "_total"}.get(family.type, "")
        labels = sorted({label for sample in family.samples for label in sample.labels if label != "le"})
        found[name] = (family.type, ", ".join(f"`{label}`" for label in labels))
    assert list(documented()) == list(found), "the same names, in the same order"
    assert documented() == found
