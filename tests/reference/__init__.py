"""Second derivations of published methods: plain PyTorch and plain loops, written apart from the library they check."""
