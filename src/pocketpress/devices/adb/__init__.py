"""Phones over the Android Debug Bridge: the server's own protocol, two roads to execute an artifact."""
