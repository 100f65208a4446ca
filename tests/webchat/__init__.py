"""The reference network by itself: real server, real sockets, real SQLite file."""
