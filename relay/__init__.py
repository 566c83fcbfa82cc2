"""The head office: many shops in one replica, with its API. May import posline, never the reverse."""
