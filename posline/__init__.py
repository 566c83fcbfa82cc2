"""A till, and the core that the relay shares."""
