"""pi-zero with a second head: the chunk as tokens, one after another, beside the flow."""
