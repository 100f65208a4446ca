"""What a run has found, and whether that is good enough."""

from __future__ import annotations

import msgspec

_FAULTS = (
    "lost",
    "duplicated",
    "reordered",
    "failed",
    "misattributed",
    "wrong_text",
    "wrong_reactions",
    "undeleted",
    "wrong_files",
    "dead_placeholders",
    "refused",
    "repaired_by_restart",
)
"""Of these there may be none."""


class Result(msgspec.Struct, kw_only=True):
    """The last line of a run, as JSON. `sent`: messages accepted by either side, so many of them with `files`, with
    `edits`, `reactions` (those taken back, too) and `deletions`; `wrong_files`, `dead_placeholders`: see
    `judge.Findings`; `wrong_text`, `wrong_reactions`, `undeleted`: messages that are not in the end what they
    should be; `refused`: changes of which the bridge said, without need, that they did not cross; `in_flight`: how many
    might be uncertain at most (see `inflight`); `missed`: kills at points that were not reached in time;
    `repaired_by_restart`: what came only after the bridge was started again at the end. `ok`: the exit code is 0.
    """

    kills: int
    points: dict[str, int]
    random_kills: int
    synapse_kills: int
    rooms: int
    sent: int
    files: int
    edits: int
    reactions: int
    deletions: int
    lost: int
    duplicated: int
    reordered: int
    late: int
    uncertain: int
    uncertain_but_sent: int
    uncertain_in_part: int
    in_flight: int
    failed: int
    misattributed: int
    wrong_text: int
    wrong_reactions: int
    undeleted: int
    wrong_files: int
    dead_placeholders: int
    refused: int
    missed: int
    repaired_by_restart: int
    problems: list[str]
    seed: int
    dedupe: bool
    database: str
    seconds: float
    ok: bool = False

    def judged(self, *, min_hits: int) -> list[str]:
        """Why it is not good enough; nothing if it is."""
        reasons = [f"{name}={value}" for name in _FAULTS if (value := getattr(self, name))]
        if self.dedupe and self.uncertain:
            reasons.append(f"uncertain={self.uncertain}, though the network drops repeats")
        if self.uncertain > self.in_flight:
            reasons.append(f"uncertain={self.uncertain}, with {self.in_flight} in flight at the kills")
        reasons += [f"{name} was hit {hits} times" for name, hits in self.points.items() if hits < min_hits]
        if self.sent < 20 * self.kills:
            reasons.append(f"only {self.sent} messages for {self.kills} kills")
        if 3 * (self.edits + self.reactions + self.deletions) < self.sent:
            reasons.append(f"only {self.edits} edits, {self.reactions} reactions, {self.deletions} deletions")
        if 20 * self.files < self.sent:
            reasons.append(f"only {self.files} files")
        if self.problems:
            reasons.append(f"{len(self.problems)} problems")
        return reasons

    def line(self) -> str:
        """The JSON, without the problems, which are printed before."""
        fields = msgspec.structs.asdict(self)
        fields["problems"] = len(self.problems)
        return msgspec.json.encode(fields).decode()
