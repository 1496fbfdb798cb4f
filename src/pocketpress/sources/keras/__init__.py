"""Keras files (``.keras``, whole-model ``.h5``): checked, rebuilt by Keras on its torch backend, exported."""
