"""ONNX operators in torch, one small function each; `table` collects them."""
