"""Frames and links as pure state machines, and the thin shells that give them sockets."""
