"""The device ``arm64``: the runtimes' own Arm64 Linux builds on this machine, emulated, for parity only."""
