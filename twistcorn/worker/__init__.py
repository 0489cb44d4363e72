"""The worker process: speaks HTTP and runs the app; never accepts connections, never decides when to end."""
