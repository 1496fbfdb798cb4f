"""LiteRT (TensorFlow Lite): a program written directly as a ``.tflite`` flatbuffer."""
