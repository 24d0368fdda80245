"""Crashes, failed system calls and power losses at every point of an import, and what must be true afterwards."""
