"""Global dynamic weight generation of DMMSA (eq. 13-14), where its users look for it.

The functions are pure and lie in msa_jax.losses.dynamic_weights, from where methods take them too. A method keeps a
`History` in its memory, calls `update` in `end_epoch` and gives `weights` to the engine:

    history = gdwg.init(("unimodal", "contrast"))
    history = gdwg.update(history, {"unimodal": 1.2, "contrast": 0.6})
    gdwg.weights(history, temperature=1.0)                                          # equal: one epoch has ended
    gdwg.weights({"unimodal": [1.2, 0.9], "contrast": [0.6, 0.2]}, temperature=1.0)  # "unimodal" has more left
"""

from msa_jax.losses.dynamic_weights import History, init, update, weights

__all__ = ["History", "init", "update", "weights"]
