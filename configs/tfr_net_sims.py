"""TFR-Net on SIMS, with the sizes, rates and weights of the authors' repository.

    msa-jax train tfr_net --data SIMS/Processed/unaligned_39.pkl --text-encoder bert-base-chinese

With these values the authors' code ends with an error on the 39 tokens and 55 frames of this file, since its 25 heads over features
divide neither; here there are 13 and 11.
"""

PRESET = {
    "extends": "tfr_net_mosi",
    "options": {
        "max_tokens": 39,
        "batch_size": 16,
        "layers": 2,
        "hidden_dropout": 0.0,
        "input_dropout": 0.1,
        "dropout": 0.1,
        "weights.text": 1.0,
        "weights.audio": 0.01,
        "weights.vision": 0.0001,
    },
}
