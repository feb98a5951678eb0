"""The read-only socket. Serves published snapshots; has no way to change anything."""
