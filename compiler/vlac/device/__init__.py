"""The operations of the device graph, one file each: what they compute, need, load, and which packets they are."""
