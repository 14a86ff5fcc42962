"""A vision tower alone, trained on pictures without labels: a masked autoencoder."""
