"""A residual multilayer perceptron for Push-T keypoints, with a flow or without."""
