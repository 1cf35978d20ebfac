"""Networks of MMSA as arrays: a comparison for each, and small files of other programs for the tests of BERT.

A golden file NAME.npz holds, from a network of MMSA in PyTorch, in evaluation mode:

    param/NAME    weights and running statistics, by PyTorch's names and in its layouts
    input/*       what the network was given
    output/*      what it gave
    grad/NAME     the gradient of the loss that `note` says, by the names of the weights
    note          what arrays do not show

The module tests/golden/NAME.py has

    compare(arrays) -> Comparison

`arrays` are those of the file by their keys. It builds our network in the reference protocol, with sizes that it reads off
the arrays; copies the weights; and gives, for every `output/*` and every `grad/NAME` by those names (without `output/`,
`grad/`), the pair (ours, theirs), two arrays of one shape. A module that leaves some out must say why in

    LEFT_OUT = {"regular expression, matched with the whole of output/NAME or grad/NAME": "why"}

Nothing else registers a module: `python -m tests.golden_mmsa FILE.npz` finds it by the file's name (`tfn.npz`, and
`tfn_wide.npz` too) and tests/test_golden_mmsa.py compares every shared file that has one.

Parts to build a comparison from: `tests.golden.copying` (weights in, gradients out, one evaluation) and `tests.golden.bert`
(a BERT inside a text encoder). tests/golden/tfn.py is the plainest example, tests/golden/self_mm.py one with a BERT.
"""
