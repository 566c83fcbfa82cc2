"""Hosted tills: phones and tablets that open the till's page over HTTPS, and whose sales this device appends."""
