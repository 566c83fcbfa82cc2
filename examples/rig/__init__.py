"""What the demo is made of: baskets, lines to cut, programs to kill, cashiers, a board and an audit.

Uses Posline only as anybody outside would: through its commands and its HTTP API.
"""
