"""Studies: which runs each notebook asks for, and the tables made of them."""
