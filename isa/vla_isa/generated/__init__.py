"""Python that `python -m vla_isa.generate` writes from the table. Nothing here is edited by hand."""
