"""ONNX Runtime Web: ONNX Runtime in a browser, in WebAssembly."""
