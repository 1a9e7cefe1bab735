"""What the pages keep, and watch, in PostgreSQL."""
