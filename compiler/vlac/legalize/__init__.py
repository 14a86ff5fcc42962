"""From a QDQ model to the device graph, and the rewrites of that graph that save cycles."""
