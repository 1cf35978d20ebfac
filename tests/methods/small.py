"""Sizes of each method at which its programs compile in seconds and several copies of it fit into a small machine."""

SMALL = {
    "mmcl": {
        "lstm_hidden": 4, "layers": 2, "heads": 2, "feedforward": 8, "width": 8, "cnn_channels": 8, "predictor_hidden": 8,
        "cnn_kernels": "4,3", "cnn_strides": "2,2", "learning_rate.audio": 1e-2, "learning_rate.vision": 1e-2,
    },
    "confede": {
        "width": 16, "audio_layers": 1, "vision_layers": 1, "heads": 2, "projection": 16, "fusion_hidden": "16",
        "part_hidden": "8", "regressor_hidden": "8", "stage_text.max_epochs": 1, "stage_audio.max_epochs": 1,
        "stage_vision.max_epochs": 1, "learning_rate.other": 1e-2,
    },
    "self_mm": {"audio_hidden": 4, "vision_hidden": 4},
    "tfn": {"text_hidden": 8, "text_size": 4, "audio_size": 4, "vision_size": 4, "fusion_hidden": 16},
    "lmf": {"text_hidden": 8, "text_size": 4, "audio_size": 4, "vision_size": 4},
    "ef_lstm": {"hidden": 8, "layers": 2, "dropout": 0.1, "learning_rate.other": 1e-2},
    "tfr_net": {
        "width": 8, "heads": 2, "layers": 1, "gate_layers": 1, "hidden": 8, "weights.similarity": 1.0,
        "learning_rate.other": 1e-2,
    } | dict.fromkeys(("input_dropout", "hidden_dropout", "residual_dropout", "text_dropout", "gate_dropout"), 0.1),
    "lnln": {
        "width": 16, "tokens": 2, "layers": 1, "fusion_layers": 1, "heads": 2, "head_width": 4, "feedforward": 16,
    } | {f"learning_rate.{group}": 1e-2 for group in ("audio", "vision", "other")},
    "lf_lstm": {"text_hidden": 8, "audio_hidden": 4, "vision_hidden": 4} | {
        f"learning_rate.{group}": 1e-2 for group in ("audio", "vision", "other")
    },
    "mag_bert": {f"learning_rate.{group}": 1e-3 for group in ("text", "audio", "vision", "other")},
    "misa": {"hidden": 16, "fusion_feedforward": 32, "dropout": 0.1},
    "mmim": {"audio_hidden": 4, "vision_hidden": 4, "width": 16},
    "mult": {"width": 8, "heads": 2, "layers": 1, "learning_rate.other": 1e-2},
    "mctn": {"hidden": 16, "learning_rate.other": 1e-2, "weights.translation": 1.0},
    "raven": {"nonverbal": 8, "hidden": 8, "learning_rate.other": 1e-2},
    "spt": {"spt.iterations": 2, "spt.width": 8, "spt.heads": 2, "learning_rate.other": 1e-2},
    "tetfn": {
        "audio_hidden": 4, "vision_hidden": 4, "width": 8, "heads": 2, "layers": 1, "feature_size.m": 8, "feature_size.t": 8,
        "feature_size.a": 8, "feature_size.v": 8, "learning_rate.audio": 2e-3, "learning_rate.vision": 2e-3,
        "learning_rate.other": 2e-3,
    },
    "sugrm": {"spt.iterations": 2, "spt.width": 8, "spt.heads": 2},
}  # fmt: skip
SMALL["dmmsa"] = SMALL["confede"]
SMALL["mfn"] = {
    "hidden.text": 8, "hidden.audio": 4, "hidden.vision": 4, "memory": 8, "layer.proposal": 8, "layer.retain": 8,
    "layer.update": 8, "dropout.retain": 0.1, "dropout.update": 0.1,
}  # fmt: skip
# Enough units behind a ReLU that some of them are not 0 everywhere.
SMALL["graph_mfn"] = {**SMALL["mfn"], "hidden.audio": 16, "hidden.vision": 16, "vertex": 8, "vertex_hidden": 16}
SMALL["mfm"] = {**SMALL["mfn"], **{f"code.{name}": 8 for name in ("label", "text", "audio", "vision")}}
SMALL |= {"lf_dnn": SMALL["tfn"], "mtfn": SMALL["tfn"], "mlmf": SMALL["lmf"], "mlf_dnn": SMALL["tfn"]}
