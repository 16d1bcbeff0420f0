"""Simulated datasets on disk, one module per corpus, and the import of other programs' films."""
