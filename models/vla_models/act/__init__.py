"""ACT: a transformer that says a chunk of actions at once, trained as the decoder of a conditional autoencoder."""
