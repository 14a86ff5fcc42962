"""A driving policy of 5 convolutions and 3 dense layers over four stacked frames of 128 x 128."""
