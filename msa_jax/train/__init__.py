"""The engine: state, programs, stages, checkpoints. It knows no method by name."""
