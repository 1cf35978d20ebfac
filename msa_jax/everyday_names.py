"""What options and their values are called elsewhere: in PyTorch code, in Hugging Face's trainer, in MMSA's configurations."""

from collections.abc import Mapping

_RATE, _DECAY = "learning_rate", "weight_decay"
_FACTORS = {"y": "label", "l": "text", "a": "audio", "v": "vision"}  # of MFM, by their letters in MMSA

# An everyday name, and the options that may be meant. A name of several values stands for all of them.
OPTIONS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("lr", "learningrate", "base_lr", "initial_lr", "init_lr"), (_RATE,)),
    **dict.fromkeys(("lr_bert", "bert_lr", "learning_rate_bert"), (f"{_RATE}.text",)),
    **{f"{_RATE}_{name}": (f"{_RATE}.{name}",) for name in ("text", "audio", "vision", "other")},
    f"{_RATE}_video": (f"{_RATE}.vision",),
    **dict.fromkeys(("wd", "l2", "decay"), (_DECAY,)),
    **{f"{_DECAY}_{name}": (f"{_DECAY}.{name}",) for name in ("text", "audio", "vision", "other")},
    f"{_DECAY}_bert": (f"{_DECAY}.text",),
    f"{_DECAY}_video": (f"{_DECAY}.vision",),
    **dict.fromkeys(("bs", "batch", "batchsize", "train_batch_size", "per_device_train_batch_size"), ("batch_size",)),
    **dict.fromkeys(("eval_batch_size", "test_batch_size", "per_device_eval_batch_size"), ("evaluation_batch_size",)),
    **dict.fromkeys(("epoch", "epochs", "num_epochs", "n_epochs", "num_train_epochs", "max_epoch"), ("max_epochs",)),
    **dict.fromkeys(("early_stop", "early_stopping", "early_stopping_patience"), ("patience",)),
    **dict.fromkeys(
        ("update_epochs", "grad_accum", "accumulation_steps", "gradient_accumulation_steps", "accumulate_grad_batches"),
        ("accumulate",),
    ),
    **dict.fromkeys(("grad_clip", "clip", "clip_grad", "gradient_clip", "max_grad_norm"), ("clip_norm", "clip_value")),
    **dict.fromkeys(("warmup_ratio", "warmup_proportion", "warmup_steps", "warm_up"), ("warmup",)),
    **dict.fromkeys(("scheduler", "lr_scheduler", "lr_schedule", "lr_scheduler_type"), ("schedule",)),
    "when": ("plateau_patience",),  # MulT
    **dict.fromkeys(
        (
            "bert",
            "bert_model",
            "pretrained",
            "pretrained_model",
            "model_name_or_path",
            "language_model",
            "use_bert",
            "transformers",
        ),
        ("text_encoder",),
    ),
    **dict.fromkeys(
        ("max_len", "max_length", "max_seq_length", "max_seq_len", "seq_len", "seq_length"), ("max_tokens",)
    ),
    **dict.fromkeys(
        ("finetune", "fine_tune", "use_finetune", "use_bert_finetune", "freeze_bert", "frozen"),
        ("finetune_text", "freeze"),
    ),
    **dict.fromkeys(("dtype", "fp16", "bf16", "amp", "mixed_precision", "half"), ("precision",)),
    **dict.fromkeys(("normalise", "normalize", "standardize", "need_normalized", "need_normalize"), ("standardise",)),
    **dict.fromkeys(("keyeval", "key_eval", "metric", "monitor", "metric_for_best_model"), ("selection",)),
    **dict.fromkeys(("gradient_checkpointing", "checkpointing", "rematerialise"), ("remat",)),
    **dict.fromkeys(("save_every", "save_interval", "save_steps", "save_freq"), ("checkpoint_epochs",)),
    **dict.fromkeys(("log_interval", "logging_steps", "log_every"), ("record_steps",)),
    **dict.fromkeys(("num_layers", "n_layers", "nlayers", "nlevels"), ("layers",)),
    **dict.fromkeys(("num_heads", "n_heads", "nhead"), ("heads",)),
    **dict.fromkeys(("d_model", "dim", "hidden_dim", "hid_dim", "hidden_size"), ("hidden", "width")),
    **dict.fromkeys(("tau", "temp"), ("temperature",)),
    **dict.fromkeys(("without", "exclude", "drop_modality", "drop_modalities"), ("leave_out",)),
    **dict.fromkeys(("train_ratio", "fraction", "data_fraction"), ("train_fraction",)),
}

# Keys of MMSA's configurations that are of one network or of a few.
OPTIONS |= {
    # Self-MM, TETFN, TFN, LMF, LF-DNN and their forms of several tasks
    "h": ("label_limit",),
    "excludezero": ("zero_is_positive",),
    "a_lstm_hidden_size": ("audio_hidden",),
    "v_lstm_hidden_size": ("vision_hidden",),
    "audio_out": ("audio_size",),
    "video_out": ("vision_size",),
    "text_out": ("text_size",),
    "hidden_dims": ("hidden", "text_hidden", "audio_size", "vision_size"),
    "dropouts": ("dropout",),
    "post_fusion_dim": ("feature_size.m", "fusion_hidden"),
    "post_text_dim": ("feature_size.t", "head_hidden.text"),
    "post_audio_dim": ("feature_size.a", "head_hidden.audio"),
    "post_video_dim": ("feature_size.v", "head_hidden.vision"),
    "post_dropouts": ("dropout.fusion", "head_dropout"),
    **{
        f"post_{name}_dropout": (f"dropout.{letter}",)
        for name, letter in zip(("fusion", "text", "audio", "video"), "mtav", strict=True)
    },
    **{letter: (f"weights.{letter}",) for letter in "mtav"},
    "factor_lr": (f"{_RATE}.factor",),
    "text_weight_decay": (f"{_DECAY}.text_subnetwork",),
    "audio_weight_decay": (f"{_DECAY}.audio",),
    "video_weight_decay": (f"{_DECAY}.vision",),
    # MFN, Graph-MFN, MFM
    "memsize": ("memory",),
    "inner_node_dim": ("vertex",),
    "nn1config": ("layer.attention", "dropout.attention"),
    **dict.fromkeys(("nn2config", "nnconfig"), ("layer.proposal", "dropout.proposal")),
    "gamma1config": ("layer.retain", "dropout.retain"),
    "gamma2config": ("layer.update", "dropout.update"),
    "outconfig": ("score_hidden", "score_dropout"),
    **{f"z{of}_size": (f"code.{name}",) for of, name in _FACTORS.items()},
    **{f"f{of}_size": (f"factor.{name}",) for of, name in _FACTORS.items()},
    **{f"z{of}_to_f{of}_dropout": (f"factor_dropout.{name}",) for of, name in _FACTORS.items()},
    "fy_to_y_dropout": ("factor_dropout.score",),
    "lda_mmd": ("weights.discrepancy",),
    "lda_xl": ("weights.text",),
    "lda_xa": ("weights.audio",),
    "lda_xv": ("weights.vision",),
    # MulT, TETFN, TFR-Net
    "dst_feature_dim_nheads": ("width", "heads"),
    "dst_feature_dims": ("width",),
    "nheads": ("heads",),
    "conv1d_kernel_size_l": ("kernels.text",),
    "conv1d_kernel_size_a": ("kernels.audio",),
    "conv1d_kernel_size_v": ("kernels.vision",),
    "attn_dropout": ("attention_dropout",),
    "attn_dropout_a": ("attention_dropout.audio",),
    "attn_dropout_v": ("attention_dropout.vision",),
    "relu_dropout": ("hidden_dropout",),
    "res_dropout": ("residual_dropout",),
    "embed_dropout": ("input_dropout",),
    "attn_mask": ("future_mask",),
    "weight_gen_loss": ("weights.text", "weights.audio", "weights.vision"),
    "weight_sim_loss": ("weights.similarity",),
    "num_temporal_head": ("temporal_heads",),
    "fusion_t_hid": ("gate_hidden.text",),
    "fusion_a_hid": ("gate_hidden.audio",),
    "fusion_v_hid": ("gate_hidden.vision",),
    "fusion_gru_layers": ("gate_layers",),
    "fusion_drop": ("gate_dropout",),
    "cls_hidden_dim": ("hidden",),
    "cls_dropout": ("dropout",),
    # MISA, MMIM, MAG-BERT
    "sim_weight": ("weights.similarity",),
    "diff_weight": ("weights.difference",),
    "recon_weight": ("weights.reconstruction",),
    "use_cmd_sim": ("similarity",),
    "lr_main": (f"{_RATE}.audio", f"{_RATE}.vision", f"{_RATE}.other"),
    "lr_mmilb": (f"{_RATE}.bound",),
    "weight_decay_main": (f"{_DECAY}.audio", f"{_DECAY}.vision", f"{_DECAY}.other"),
    "weight_decay_mmilb": (f"{_DECAY}.bound",),
    "d_ah": ("audio_hidden",),
    "d_vh": ("vision_hidden",),
    "d_aout": ("audio_size",),
    "d_vout": ("vision_size",),
    "d_prjh": ("width",),
    "dropout_prj": ("dropout",),
    "beta_shift": ("beta",),
    "dropout_prob": ("gate_dropout",),
    "need_model_aligned": ("alignment",),
}

_DEVICE = "JAX chooses the device: set JAX_PLATFORMS=cpu or CUDA_VISIBLE_DEVICES in the environment"
_OUT = "the folder of results is --out, in Python out="
_DATA = "the dataset is --data, in Python the second argument of train"

# Names of what is no option of a method, and what to do instead.
ELSEWHERE: Mapping[str, str] = {
    **dict.fromkeys(("seed", "random_seed"), "seeds are --seeds 1 2 3, in Python seeds=[1, 2, 3]"),
    **dict.fromkeys(
        ("optimizer", "optimiser", "optim"), "the optimiser is Adam; weight_decay_mode chooses AdamW or an L2 term"
    ),
    **dict.fromkeys(("device", "devices", "gpu", "gpus", "gpu_id", "gpu_ids", "cuda", "no_cuda"), _DEVICE),
    **dict.fromkeys(("dataset", "dataset_name", "data_path", "data_dir", "featurepath"), _DATA),
    **dict.fromkeys(
        ("output", "output_dir", "save_dir", "model_save_dir", "res_save_dir", "log_dir", "logdir", "run_dir"), _OUT
    ),
    **dict.fromkeys(("config", "config_file", "config_path"), "a file of options is --preset, in Python preset="),
    **dict.fromkeys(("workers", "num_workers"), "no processes load data: the dataset lies on the device"),
    "save_labels": "--record-labels keeps the unimodal labels of every epoch, in Python record_labels=True",
    **dict.fromkeys(
        ("feature_t", "feature_a", "feature_v"), "features of one's own are put into a dataset, see Coming from MMSA"
    ),
    "need_data_aligned": "the file is aligned or is not",
    **dict.fromkeys(
        ("name", "language", "label_range", "metrics"),
        "that is said to `msa-jax data import`, in Python to load_dataset",
    ),
    **dict.fromkeys(("seq_lens", "feature_dims", "train_samples", "num_classes"), "sizes are read from the arrays"),
    **dict.fromkeys(("verbose", "silent", "verbose_level"), "--quiet shows no progress, in Python log=None"),
}

# Another word for the value of an option, taken as ours, and ours.
SYNONYMS: Mapping[str, Mapping[str, str]] = {"alignment": {"mean": "adaptive"}}

# Everyday words for the value of an option, and ours.
VALUES: Mapping[str, Mapping[str, str]] = {
    "alignment": dict.fromkeys(("average", "avg", "avg_pool", "adaptive_mean", "adaptive_avg_pool"), "adaptive"),
    "precision": {"fp32": "float32", "f32": "float32", "32": "float32", "bf16": "bfloat16"},
    "schedule": dict.fromkeys(("reduce_on_plateau", "reducelronplateau"), "plateau"),
    "standardise": {**dict.fromkeys(("true", "yes", "zscore"), "train"), **dict.fromkeys(("false", "no"), "none")},
}


def synonym(name: str, value: object) -> str | None:
    """Our word for a value that the option `name` does not have, if the value is another word for it."""
    return SYNONYMS.get(name, {}).get(str(value).lower())


def value_hint(name: str, value: object) -> str:
    """What may be meant by a value that the option `name` does not have, as the end of a sentence; empty if unknown."""
    ours = VALUES.get(name, {}).get(str(value).lower())
    return f"; did you mean {ours}?" if ours else ""


def hint(name: str, known: Mapping[str, object]) -> str:
    """What may be meant by a name that is no option, as the end of a sentence; empty if nothing is known of it.

    Args:
      name: with underscores.
      known: the method's options by their dotted names.
    """
    name = name.lower()
    if name in ELSEWHERE:
        return f"; {ELSEWHERE[name]}"
    meant = OPTIONS.get(name, (name,))
    found = [option for one in meant for option in known if option == one or option.startswith(f"{one}.")]
    return f"; did you mean {', '.join(found)}?" if found else ""
