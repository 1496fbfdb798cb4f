"""TFLite files as live torch networks: read with limits, one small function per operator."""
