"""What master and worker say to each other; imported by both, imports neither."""
