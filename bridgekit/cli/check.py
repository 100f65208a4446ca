"""``check``: the doctor."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import click
import msgspec

from bridgekit.adapter.base import Adapter
from bridgekit.cli._common import Exit, config_option, json_option, print_json
from bridgekit.core.finding import Examination, Finding, Outcome, count
from bridgekit.doctor import CHECKS
from bridgekit.doctor import check as examine
from bridgekit.logs import redact

LABELS: dict[Outcome, tuple[str, str]] = {
    "ok": ("ok  ", "green"),
    "warning": ("warn", "yellow"),
    "failed": ("FAIL", "red"),
    "skipped": ("skip", "bright_black"),
}
WIDTH = max(map(len, CHECKS))


def add(group: click.Group, adapter: type[Adapter]) -> None:
    """Add the command."""

    @group.command()
    @config_option
    @json_option
    @click.option("--read-only", is_flag=True, help="Make nothing on the homeserver; some checks are skipped then.")
    def check(config: Path, as_json: bool, read_only: bool) -> Exit:
        """Find what is wrong: configuration, database, homeserver, and the ways between them.

        Works while the bridge runs, and before its first start. Each failure comes with the one thing to do. On the
        homeserver it makes the bot's account and device and one ghost, as the bridge would, and a private room that it
        leaves again.
        """
        # What goes wrong is said below, in better words than the log's.
        logging.getLogger("bridgekit").addHandler(_SILENCE)
        exam = Examination(_no_line if as_json else _line)
        asyncio.run(examine(config, adapter, exam, read_only=read_only))
        counts = count(exam.findings)
        if as_json:
            findings = [msgspec.to_builtins(_without_secrets(finding)) for finding in exam.findings]
            print_json({"findings": findings, **msgspec.to_builtins(counts)})
        else:
            click.echo(f"\n{counts}")
        return Exit.CHECK_FAILED if counts.failed else Exit.FINE


_SILENCE = logging.NullHandler()


def _without_secrets(finding: Finding) -> Finding:
    """Other programs' words, and addresses of the configuration, may hold a password. The fixes are our own words."""
    return msgspec.structs.replace(finding, what=redact(finding.what), where=redact(finding.where))


def _line(finding: Finding) -> None:
    finding = _without_secrets(finding)
    label, colour = LABELS[finding.outcome]
    # click leaves the colours out where standard output is no terminal.
    click.echo(f"{click.style(label, fg=colour)} {finding.name:{WIDTH}}  {finding.what}")
    if finding.outcome in ("warning", "failed"):
        if finding.where:
            click.echo(f"       where: {finding.where}")
        click.echo(f"       {click.style('fix:', bold=True)} {finding.fix}")


def _no_line(finding: Finding) -> None:
    """JSON comes whole, at the end."""
