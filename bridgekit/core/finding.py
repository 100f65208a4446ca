"""What a check found: one line for a person, one object for a script."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

import msgspec

Outcome = Literal["ok", "warning", "failed", "skipped"]


class Finding(msgspec.Struct, frozen=True):
    """The result of one check.

    `name` is the check's and never changes; `what` is what was seen, or what is wrong; `where` a file with its YAML
    path, an address, or a user; `fix` the one thing to do, empty for "ok" and "skipped". `because` is set where another
    check has to succeed first: the name of the one that did not.
    """

    name: str
    outcome: Outcome
    what: str
    where: str = ""
    fix: str = ""
    because: str = ""


class Counts(msgspec.Struct, frozen=True):
    """How many findings of each outcome there are."""

    ok: int
    warnings: int
    failed: int
    skipped: int

    def __str__(self) -> str:
        plural = "" if self.warnings == 1 else "s"
        return f"{self.ok} ok, {self.warnings} warning{plural}, {self.failed} failed, {self.skipped} skipped"


def count(findings: Iterable[Finding]) -> Counts:
    outcomes = [finding.outcome for finding in findings]
    return Counts(outcomes.count("ok"), outcomes.count("warning"), outcomes.count("failed"), outcomes.count("skipped"))


def ok(name: str, what: str, *, where: str = "") -> Finding:
    return Finding(name, "ok", what, where)


def warning(name: str, what: str, fix: str, *, where: str = "") -> Finding:
    """Something works worse than it could."""
    return Finding(name, "warning", what, where, fix)


def failed(name: str, what: str, fix: str, *, where: str = "") -> Finding:
    """The bridge cannot work, or not as promised."""
    return Finding(name, "failed", what, where, fix)


def skipped(name: str, what: str, *, because: str = "") -> Finding:
    """It cannot be found out, or not before `because` succeeds."""
    return Finding(name, "skipped", what, because=because)


class Examination:
    """The findings so far. A check whose ground has failed is skipped, so that one mistake is told once."""

    def __init__(self, tell: Callable[[Finding], None] = lambda _: None) -> None:
        """`tell` gets each finding as it is made."""
        self.findings: list[Finding] = []
        self._tell = tell

    def add(self, finding: Finding) -> Finding:
        """Keep a finding, and return it."""
        self.findings.append(finding)
        self._tell(finding)
        return finding

    def has(self, name: str) -> bool:
        """Whether the check was made, or skipped, already."""
        return any(finding.name == name for finding in self.findings)

    def obstacle(self, needs: Iterable[str]) -> str | None:
        """The name of the first of `needs` that has failed, followed to its root; None if all of them are well."""
        known = {finding.name: finding for finding in self.findings}
        for name in needs:
            finding = known.get(name)
            if finding is None or finding.outcome in ("ok", "warning"):
                continue
            if finding.outcome == "failed":
                return name
            if finding.because:
                return finding.because
        return None

    def stands(self, *names: str, on: Iterable[str]) -> bool:
        """Whether the checks `names` can be made: nothing that they stand on has failed; else they are skipped."""
        because = self.obstacle(on)
        if because is not None:
            self.skip(*names, because=because)
        return because is None

    def skip(self, *names: str, because: str) -> None:
        """Skip what was not looked at so far, for the sake of the check `because`."""
        for name in names:
            if not self.has(name):
                self.add(skipped(name, f"not before {because} is mended", because=because))
