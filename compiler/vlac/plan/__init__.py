"""Planning: how each operation is cut, what is on chip when and where, and where everything lies in the data space."""
