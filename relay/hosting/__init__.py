"""Hosted tills at the head office: phones and tablets anywhere that open its page, and whose sales it appends."""
