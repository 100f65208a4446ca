"""``make demo``: a bridge at work on a real homeserver; with ``--check`` a scripted conversation through it."""
