"""What leaves the service: facts about customers, written with what made them true."""
