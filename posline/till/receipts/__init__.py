"""Receipts: one model of what is printed (blocks, layout), and how it looks as text, page, printer's bytes and
picture."""
