"""MMCL on MOSI, token-aligned features, with strides that leave the LSTM of the predictive network something to read.

    msa-jax train mmcl --data MOSI/Processed/aligned_50.pkl --text-encoder bert-base-uncased --preset mmcl_mosi_mild

The printed strides (5, 4, 2, 2, 2) make one step of 50, so that the auto-regressive LSTM sees a single one; those here make
50, 25, 13, 7, 4, 4. All else as in mmcl_mosi. Not an experiment of the paper: to be compared with mmcl_mosi.
"""

PRESET = {
    "extends": "mmcl_mosi",
    "options": {
        "cnn_strides": [2, 2, 2, 2, 1],
    },
}
