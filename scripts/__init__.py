"""What the Makefile and the documents need."""
