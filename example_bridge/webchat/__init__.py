"""webchat: a small, real chat network (a website's live chat) to bridge.

`server` is the network, `client` speaks to it. Neither knows anything of Matrix or of bridgekit. The protocol between
them is written down in PROTOCOL.md.

`adapter` is what makes a bridge of it: the example to copy from.
"""
