"""``check``: everything an admin can get wrong, one finding for each, with the one thing to do.

`local` judges this machine, `bridgekit.matrix.doctor` the homeserver; `check` observes and puts them together.
"""

from bridgekit.doctor.check import CHECKS, check

__all__ = ["CHECKS", "check"]
