"""The operations of `bridgekit.ports.Store`, each written once, as programs: see `bridgekit.store.program`.

A program that writes begins with `lease.check`, so that a holder who lost the lease changes nothing.
"""
