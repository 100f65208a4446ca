"""Health, readiness, metrics and logs, with a made-up bridge."""
