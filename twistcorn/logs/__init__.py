"""Logs: how events and what applications print become lines, and how lines get out without anybody's waiting."""
