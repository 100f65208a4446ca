"""docs/monitoring.md says nothing that is not so; its table of metrics is looked at in `test_metrics`."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import yaml

from bridgekit.config import LoggingConfig, MonitoringConfig
from bridgekit.logs import JsonFormatter
from bridgekit.web.readiness import (
    DATABASE_TIMEOUT_S,
    PING_EVERY_S,
    PING_TIMEOUT_S,
    DatabasePart,
    HomeserverPart,
    LeasePart,
    Readiness,
)
from tests.web.test_logs import record
from tests.web.test_metrics import DOCS, documented

TEXT = DOCS.read_text(encoding="utf-8")


def blocks(language: str) -> list[Any]:
    return [yaml.safe_load(text) for text in re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)]


def test_the_configuration_is_what_it_is_without_saying_so() -> None:
    monitoring, alerts, scraping, logging = blocks("yaml")
    assert msgspec.convert(monitoring["monitoring"], MonitoringConfig) == MonitoringConfig()
    assert msgspec.convert(logging["logging"], LoggingConfig) == LoggingConfig()
    (group,) = alerts["groups"]
    assert len(group["rules"]) == 2
    (target,) = scraping["scrape_configs"][0]["static_configs"][0]["targets"]
    assert target == f"{MonitoringConfig().host}:{MonitoringConfig().port}"


def test_only_metrics_that_exist_are_named() -> None:
    named = set(re.findall(r"\bbridgekit_\w+", TEXT)) - {"bridgekit_"}
    assert named == set(documented())


def test_every_part_and_every_number_of_the_readiness_is_explained() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*)$", TEXT[: TEXT.index("## Metrics")], re.MULTILINE))
    assert ["ready", *rows] == list(Readiness.__struct_fields__)
    for part, kind in {"database": DatabasePart, "lease": LeasePart, "homeserver": HomeserverPart}.items():
        for field in kind.__struct_fields__:
            assert field in ("ok", "reason") or f"`{field}`" in rows[part], field
    assert f"within {DATABASE_TIMEOUT_S:g} s" in rows["database"]
    assert f"in the last {PING_EVERY_S:g} s" in rows["homeserver"]
    assert f"within {PING_TIMEOUT_S:g} s" in rows["homeserver"]


def test_the_log_line_looks_like_one() -> None:
    (example,) = blocks("json")
    line = json.loads(JsonFormatter(str).format(record("...", lane="m:!room:example.org")))
    assert list(example) == list(line)
