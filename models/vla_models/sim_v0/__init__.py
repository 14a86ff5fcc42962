"""SIM v0: risk, reason, action and confidence, from video and telemetry through a frozen language model."""
