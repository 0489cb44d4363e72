"""The process that accepts, keeps and lends connections, and minds the workers; it never imports the app."""
