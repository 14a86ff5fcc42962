"""A driving policy of strided convolutions over 256 x 256 with six branches, dense or with gated tiles."""
