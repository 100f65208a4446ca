"""The runtime between fakes: no Synapse, no real time."""
