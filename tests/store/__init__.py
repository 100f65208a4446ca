"""The parts of bridgekit.store that the contract does not see."""
