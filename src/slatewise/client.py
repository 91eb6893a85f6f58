"""Client: asks the service, from Python."""
