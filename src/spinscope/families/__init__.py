"""What is particular to a family of models, one module per family."""
