"""Training configurations: one TOML file a run, read into `TrainConfig`."""
