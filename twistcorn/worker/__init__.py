"""The process that speaks HTTP and runs the app; it never accepts and never decides its own fate."""
