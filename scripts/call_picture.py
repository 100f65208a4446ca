"""The states of a call as pictures, from the table in bridgekit/core/call/states.py: one for each part that the bridge
plays."""

from __future__ import annotations

import inspect
import re
from typing import Final

from bridgekit.core.call import states
from bridgekit.core.call.states import TABLE, Role, State
from scripts.drawing import LINE, Drawing, wrapped

WIDE: Final = 860
BOX: Final = 250
END: Final = 700
TITLES: Final = {
    Role.CALLEE: "The states of a call that Matrix began: the bridge is the callee there",
    Role.CALLER: "The states of a call that the network began: the bridge is the caller on Matrix",
}


def pictures() -> dict[str, str]:
    """Name -> picture."""
    return {f"call-{role}": picture(role) for role in Role}


def meanings() -> dict[str, str]:
    """Each state with the words beside it in the code."""
    found = re.findall(r'^    [A-Z]+ = "([a-z]+)"  # (.+)$', inspect.getsource(states.State), re.MULTILINE)
    return dict(found)


def picture(role: Role) -> str:
    """The way of a call from top to bottom; to the right, what ends it from each state."""
    d = Drawing(WIDE, TITLES[role])
    means = meanings()
    top = y = 20.0
    way = [state for state in states.states(role) if not states.is_over(state)]
    for state in way:
        leads = TABLE[role][state]
        ends = ", ".join(sorted(cause for cause, to in leads.items() if to is State.ENDED))
        onward = [(cause, to) for cause, to in leads.items() if to is not State.ENDED]
        lines = wrapped(ends, END - 24 - BOX - 40)
        words = wrapped(means.get(state, ""), BOX - 20)
        high = 30 + LINE * max(len(words), len(lines) - 1, 0)
        d.box(24, y, BOX, high, kind="now" if state is State.CONNECTED else "box")
        d.text(24 + BOX / 2, y + 20, state, kind="text title", anchor="middle")
        d.lines(24 + BOX / 2, y + 38, words, kind="soft", anchor="middle")
        if ends:
            d.lines((24 + BOX + END) / 2, y + 13, lines, kind="soft", anchor="middle")
            d.arrow(24 + BOX + 2, y + 6 + LINE * len(lines), END - 2, y + 6 + LINE * len(lines))
        y += high
        for cause, to in onward:
            if to is not way[way.index(state) + 1]:
                raise ValueError(f"{role}: {state} leads to {to}; draw branches, too")
            d.arrow(24 + BOX / 2, y + 2, 24 + BOX / 2, y + 30)
            d.text(24 + BOX / 2 + 12, y + 20, cause, kind="text")
        y += 32 if onward else 0
    d.box(END, top, WIDE - END - 24, y - top, kind="bad")
    d.text((END + WIDE - 24) / 2, (top + y) / 2, State.ENDED, kind="text title", anchor="middle")
    return d.svg(y + 16)
