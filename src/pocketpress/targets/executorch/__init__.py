"""ExecuTorch artifacts: one XNNPACK delegate call, written directly as a .pte file."""
