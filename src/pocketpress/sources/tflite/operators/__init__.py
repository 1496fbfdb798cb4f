"""What each TFLite operator computes, in torch."""
