"""HTTP for the people and programs that watch over a bridge: health, readiness, metrics."""
