"""What the driving policies share: inputs, outputs, commands, batches and layers. No policy of its own."""
