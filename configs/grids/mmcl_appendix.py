"""MMCL: the whole search of the paper's appendix: 3^6 x 2 = 1,458 points.

    msa-jax sweep mmcl --data D --text-encoder E --grid mmcl_appendix --points 100

Lin and Hu, Findings of EMNLP 2022, appendix A: temperature, mu, eta, alpha, beta, gamma and dropout.
"""

GRID = {
    "temperature": [0.05, 0.1, 0.7],
    "weights.uni": [0.6, 0.7, 0.8],
    "weights.sentiment": [0.8, 0.9, 1.0],
    "weights.cross": [0.8, 0.9, 1.0],
    "weights.alignment": [0.6, 0.75, 0.9],
    "weights.uniformity": [0.05, 0.1, 0.2],
    "dropout": [0.1, 0.6],
}
