"""For the client's tests: a service that is played in memory."""
