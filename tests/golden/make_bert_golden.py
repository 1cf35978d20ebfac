"""Makes the arrays beside this file with torch and transformers: `python tests/golden/make_bert_golden.py`.

`bert/` is a BERT of random weights with its input, hidden states, pooler output and gradients as PyTorch computes them.
`zip.bin` and `legacy.bin` are what `torch.save` writes: float32 with transposed strides, halves, integers, tied tensors.
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertModel

HERE = Path(__file__).resolve().parent
LENGTHS = (9, 5, 1)  # tokens of each row


def make_bert(folder: Path) -> None:
    config = BertConfig(
        vocab_size=40,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=40,
        max_position_embeddings=16,
        attn_implementation="eager",
    )
    torch.manual_seed(0)
    model = BertModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # far from the initialisation, where attention is uniform and biases are 0
            parameter.add_(0.15 * torch.randn(parameter.shape))
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(config.to_json_string(), encoding="utf-8")
    save_file(
        {k: v.contiguous() for k, v in model.state_dict().items()}, folder / "model.safetensors", {"format": "pt"}
    )

    mask = (torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]).long()
    ids = torch.randint(1, config.vocab_size, mask.shape) * mask
    token_types = torch.randint(0, 2, mask.shape) * mask
    out = model(ids, attention_mask=mask, token_type_ids=token_types)
    toward_hidden = torch.randn(out.last_hidden_state.shape) * mask[..., None]
    toward_pooled = torch.randn(out.pooler_output.shape)
    ((out.last_hidden_state * toward_hidden).sum() + (out.pooler_output * toward_pooled).sum()).backward()
    arrays = {
        "ids": ids.int(),
        "mask": mask.int(),
        "token_types": token_types.int(),
        "hidden": out.last_hidden_state.detach(),
        "pooled": out.pooler_output.detach(),
        "toward_hidden": toward_hidden,
        "toward_pooled": toward_pooled,
        **{f"gradient/{name}": parameter.grad for name, parameter in model.named_parameters()},
    }
    np.savez_compressed(folder / "expected.npz", **{name: value.numpy() for name, value in arrays.items()})


def make_bins(folder: Path) -> None:
    base = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    state = {
        "matrix": base,
        "transposed": base.T,
        "slice": base[1:, 2],
        "half": torch.tensor([0.5, -2.0], dtype=torch.float16),
        "bfloat": torch.tensor([0.5, -2.0, 3.0], dtype=torch.bfloat16),
        "integers": torch.tensor([[1, -2]], dtype=torch.int64),
        "parameter": torch.nn.Parameter(torch.tensor(7.0)),
    }
    torch.save(state, folder / "zip.bin")
    torch.save(state, folder / "legacy.bin", _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    make_bert(HERE / "bert")
    make_bins(HERE)
