"""Whether a bridge and its homeserver fit together: facts are observed thinly, and judged by pure functions.

`registration`: judges the registration file. `server`: judges what any client could see of the homeserver. `service`:
judges what only the application service sees. `observe`: asks. `examine`: all of it, in order.
"""

from bridgekit.matrix.doctor.examine import CHECKS, Target, examine, examine_server
from bridgekit.matrix.doctor.listen import Listener, who_answers

__all__ = ["CHECKS", "Listener", "Target", "examine", "examine_server", "who_answers"]
