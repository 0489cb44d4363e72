"""The protocol between master and worker; imported by both, imports neither."""
