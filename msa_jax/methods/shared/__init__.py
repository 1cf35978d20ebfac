"""What several methods share: multi-task learning with unimodal labels, decomposed modalities, partners, parameter groups."""
