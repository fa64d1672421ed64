"""Django's backend for PostgreSQL, with fewer messages to and fro."""
