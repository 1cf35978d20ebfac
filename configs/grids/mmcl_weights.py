"""MMCL: the weights of eq. 10 in the search of the paper's appendix: 3^5 = 243 points.

    msa-jax sweep mmcl --data D --text-encoder E --finetune-text false --grid mmcl_weights

Lin and Hu, Findings of EMNLP 2022, appendix A: mu, eta, alpha, beta and gamma. The best point is not stated for them all.
"""

GRID = {
    "weights.uni": [0.6, 0.7, 0.8],
    "weights.sentiment": [0.8, 0.9, 1.0],
    "weights.cross": [0.8, 0.9, 1.0],
    "weights.alignment": [0.6, 0.75, 0.9],
    "weights.uniformity": [0.05, 0.1, 0.2],
}
