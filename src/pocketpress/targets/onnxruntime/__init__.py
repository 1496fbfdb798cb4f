"""ONNX Runtime (mobile, web, server): operators in their integer form, written directly."""
