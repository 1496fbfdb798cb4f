"""Side-by-side runs against peers; every result is committed under ``results/`` with device and versions."""
