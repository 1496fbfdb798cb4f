"""Fine-tuning of a live network with the float network as its teacher."""
