"""Missing data: what each method makes of it, trained without and with modality dropout.

    msa-jax reproduce robustness.main --data synthetic --seeds 1111 1112 1113
    msa-jax reproduce robustness.main --data mmmo --seeds 1111 1112 1113
    msa-jax reproduce robustness.main --data mosi_utterance --text-encoder MINILM --seeds 1111 1112 1113

No paper has this for these methods. LNLN's paper has such a table of nine, each trained as its own authors do; here every method is
trained twice, as it is and with a modality taken out of a training sample at rate 0.3, and all see the same masks.

What is shown. MAE on test where each frame is zero and each token [UNK] at some rates, the mean over the rates 0 to 0.9, and how far
that mean is from the same method without modality dropout, paired by seed. TFR-Net and LNLN lose steps in training by themselves;
their rows say what modality dropout adds to that.

Cost: two variants of each method x seeds, and for each run 28 times a forward pass over test. `msa-jax robustness` on some of
the folders draws curves, and has other protocols.

Caveats. The rate 0.3 was not tuned. Modality dropout takes whole modalities, the table missing steps: `--protocol modalities` of
`msa-jax robustness` asks for what was trained. Epochs are chosen on valid as it is, with nothing missing.
"""

STUDY = {
    "title": "Robustness",
    "kind": "robustness",
    "paper": "no paper; the masks of Zhang et al., NeurIPS 2024",
    "datasets": {},
    "variants": (
        {"name": "self_mm", "method": "self_mm"},
        {"name": "self_mm, dropout", "method": "self_mm", "options": {"modality_dropout": 0.3}, "baseline": "self_mm"},
        {"name": "sugrm", "method": "sugrm"},
        {"name": "sugrm, dropout", "method": "sugrm", "options": {"modality_dropout": 0.3}, "baseline": "sugrm"},
        {"name": "mmcl", "method": "mmcl"},
        {"name": "mmcl, dropout", "method": "mmcl", "options": {"modality_dropout": 0.3}, "baseline": "mmcl"},
        {"name": "confede", "method": "confede"},
        {"name": "confede, dropout", "method": "confede", "options": {"modality_dropout": 0.3}, "baseline": "confede"},
        {"name": "dmmsa", "method": "dmmsa"},
        {"name": "dmmsa, dropout", "method": "dmmsa", "options": {"modality_dropout": 0.3}, "baseline": "dmmsa"},
        {"name": "tfn", "method": "tfn"},
        {"name": "tfn, dropout", "method": "tfn", "options": {"modality_dropout": 0.3}, "baseline": "tfn"},
        {"name": "lmf", "method": "lmf"},
        {"name": "lmf, dropout", "method": "lmf", "options": {"modality_dropout": 0.3}, "baseline": "lmf"},
        {"name": "lf_dnn", "method": "lf_dnn"},
        {"name": "lf_dnn, dropout", "method": "lf_dnn", "options": {"modality_dropout": 0.3}, "baseline": "lf_dnn"},
        {"name": "mtfn", "method": "mtfn"},
        {"name": "mtfn, dropout", "method": "mtfn", "options": {"modality_dropout": 0.3}, "baseline": "mtfn"},
        {"name": "mlmf", "method": "mlmf"},
        {"name": "mlmf, dropout", "method": "mlmf", "options": {"modality_dropout": 0.3}, "baseline": "mlmf"},
        {"name": "mlf_dnn", "method": "mlf_dnn"},
        {"name": "mlf_dnn, dropout", "method": "mlf_dnn", "options": {"modality_dropout": 0.3}, "baseline": "mlf_dnn"},
        {"name": "ef_lstm", "method": "ef_lstm"},
        {"name": "ef_lstm, dropout", "method": "ef_lstm", "options": {"modality_dropout": 0.3}, "baseline": "ef_lstm"},
        {"name": "lf_lstm", "method": "lf_lstm"},
        {"name": "lf_lstm, dropout", "method": "lf_lstm", "options": {"modality_dropout": 0.3}, "baseline": "lf_lstm"},
        {"name": "mfn", "method": "mfn"},
        {"name": "mfn, dropout", "method": "mfn", "options": {"modality_dropout": 0.3}, "baseline": "mfn"},
        {"name": "graph_mfn", "method": "graph_mfn"},
        {"name": "graph_mfn, dropout", "method": "graph_mfn", "options": {"modality_dropout": 0.3}, "baseline": "graph_mfn"},
        {"name": "mfm", "method": "mfm"},
        {"name": "mfm, dropout", "method": "mfm", "options": {"modality_dropout": 0.3}, "baseline": "mfm"},
        {"name": "misa", "method": "misa"},
        {"name": "misa, dropout", "method": "misa", "options": {"modality_dropout": 0.3}, "baseline": "misa"},
        {"name": "mag_bert", "method": "mag_bert"},
        {"name": "mag_bert, dropout", "method": "mag_bert", "options": {"modality_dropout": 0.3}, "baseline": "mag_bert"},
        {"name": "mmim", "method": "mmim"},
        {"name": "mmim, dropout", "method": "mmim", "options": {"modality_dropout": 0.3}, "baseline": "mmim"},
        {"name": "mult", "method": "mult"},
        {"name": "mult, dropout", "method": "mult", "options": {"modality_dropout": 0.3}, "baseline": "mult"},
        {"name": "spt", "method": "spt"},
        {"name": "spt, dropout", "method": "spt", "options": {"modality_dropout": 0.3}, "baseline": "spt"},
        {"name": "tetfn", "method": "tetfn"},
        {"name": "tetfn, dropout", "method": "tetfn", "options": {"modality_dropout": 0.3}, "baseline": "tetfn"},
        {"name": "mctn", "method": "mctn"},
        {"name": "mctn, dropout", "method": "mctn", "options": {"modality_dropout": 0.3}, "baseline": "mctn"},
        {"name": "raven", "method": "raven"},
        {"name": "raven, dropout", "method": "raven", "options": {"modality_dropout": 0.3}, "baseline": "raven"},
        {"name": "tfr_net", "method": "tfr_net"},
        {"name": "tfr_net, dropout", "method": "tfr_net", "options": {"modality_dropout": 0.3}, "baseline": "tfr_net"},
        {"name": "lnln", "method": "lnln"},
        {"name": "lnln, dropout", "method": "lnln", "options": {"modality_dropout": 0.3}, "baseline": "lnln"},
        {"name": "text_only", "method": "text_only"},
        {"name": "text_only, dropout", "method": "text_only", "options": {"modality_dropout": 0.3}, "baseline": "text_only"},
    ),
    "notes": ("dropout: a modality is taken out of a training sample at rate 0.3; a sample keeps at least one.",),
}  # fmt: skip
