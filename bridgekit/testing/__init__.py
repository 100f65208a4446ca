"""What authors of adapters test with: fakes, the conformance suite, and a harness of real parts.

`bridgekit.testing.synapse` starts a real Synapse and `bridgekit.testing.client` talks to it as a person's client does;
both need the `test` extra. Servers started here listen on loopback only and end with the process that started them.
"""
