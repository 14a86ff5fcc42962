"""Where everything lies: activation regions, data space, weight and parameter residency."""
