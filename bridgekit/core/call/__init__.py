"""Calls: what both sides say of them, and the machine that stands between. Pure.

- `reasons`: why calls end, from Matrix's words to ours and back
- `events`: Matrix's call events, read from what anybody may have sent; `contents`: written
- `sdp`: session descriptions; `streams`: what they send; `candidates`: when a description is complete enough
- `states`: which states a call has, and what leads from one to the next
- `memory`, `effects`: what a call keeps over a restart, and what it wants done
- `machine`, `descriptions`, `changes`, `callee`, `caller`: one call, the later ones on top; `book`: all of them
- `words`: the line that a call leaves in the room
"""
