"""The operator's console: a place for each question of a working day. A read key sees, an admin key changes."""
