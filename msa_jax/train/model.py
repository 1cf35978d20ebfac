"""A method's network with its options and inputs: parameters by path, and one way to apply it."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import flax.errors
import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from msa_jax.config import Options, with_values
from msa_jax.errors import InputError, MethodError, first_line
from msa_jax.layers.dropout import mask_key
from msa_jax.layers.stack import STACK, is_stacked
from msa_jax.methods.protocol import STATISTICS, Inputs, Method
from msa_jax.modalities import LABELS
from msa_jax.train.state import Flat

Array = jax.Array


class Variables(NamedTuple):
    """All that a network holds, by path: params, statistics."""

    params: Flat
    statistics: Flat


class Model:
    """The network of one method at one set of options, for data of some shapes.

    still_text: the text encoder drops nothing in training either.
    """

    def __init__(self, method: Method, options: Options, inputs: Inputs, dtype: jnp.dtype, *, still_text: bool = False):
        self.method, self.options, self.inputs, self.dtype = method, options, inputs, dtype
        self.still_text = still_text
        self.network = method.network(options, inputs, dtype)

    def with_values(self, values: Mapping[str, Array]) -> "Model":
        """The same with these options replaced by traced numbers; itself if there are none."""
        if not values:
            return self
        options = with_values(self.options, values)
        return Model(self.method, options, self.inputs, self.dtype, still_text=self.still_text)

    def with_still_text(self) -> "Model":
        """The same with a text encoder that drops nothing."""
        return Model(self.method, self.options, self.inputs, self.dtype, still_text=True)

    def is_text(self, module: nn.Module, function: str | None) -> bool:
        """Whether this function of this module of the network is a call of the text encoder."""
        return function == "__call__" and module.path == (self.method.text_encoder,)

    def apply(
        self, params: Flat, statistics: Flat, batch: Any, *, train: bool, key: Array | None = None
    ) -> tuple[Mapping[str, Any], Flat]:
        """The network's named outputs for a batch, and its statistics after it.

        Args:
          params, statistics: by path.
          batch: as in `methods.protocol.Batch`. In evaluation the network does not see its labels.
          train: draw dropout and move the statistics; needs a key.
          key: of this step.

        Raises:
          MethodError: the network reads a label in evaluation, or has a parameter in training alone.
        """
        variables = {"params": nested(params)}
        if statistics:
            variables[STATISTICS] = nested(statistics)
        if not train:
            with self.without_labels(batch) as seen:
                return self.network.apply(variables, seen, train=False), statistics
        rngs = {"dropout": mask_key(jax.random.split(key, 1)[0])}  # an experiment that goes on draws as it began
        try:
            with nn.intercept_methods(self._still) if self.still_text else contextlib.nullcontext():
                if not statistics:
                    return self.network.apply(variables, batch, train=True, rngs=rngs), statistics
                outputs, moved = self.network.apply(variables, batch, train=True, rngs=rngs, mutable=[STATISTICS])
        except flax.errors.ScopeParamNotFoundError as error:
            with self.without_labels(batch) as seen:
                self.network.apply(variables, seen, train=False)  # raises, too, if training is not what it is for
            raise MethodError(
                f"method {self.method.name}: its network has a parameter in training alone, and parameters are drawn with "
                f"train=False; call every layer there, too ({first_line(error)})"
            ) from error
        return outputs, flat(moved[STATISTICS])

    def _still(self, function: Callable[..., Any], arguments: Any, named: Any, context: Any) -> Any:
        """Calls the text encoder as in evaluation, and everything else as it is called."""
        is_text = self.is_text(context.module, context.method_name)
        return function(*arguments, **({**named, "train": False} if is_text else named))

    @contextlib.contextmanager
    def without_labels(self, batch: Any) -> Iterator[dict[str, Any]]:
        """A batch as the network sees it in evaluation. Raises MethodError if it reads a label of it nevertheless."""
        try:
            yield {name: value for name, value in batch.items() if name not in LABELS}
        except KeyError as error:
            if error.args[:1] not in [(name,) for name in LABELS]:
                raise
            raise MethodError(
                f"method {self.method.name}: its network reads {error.args[0]} in evaluation, where it sees no label; read it "
                "in the objective, or in the network in training alone"
            ) from error

    def exact(self) -> contextlib.AbstractContextManager[Any]:
        """What steps and forward passes are traced in: products in float32 are then those of float32 on every device.

        By default a TPU rounds the factors of such a product to bfloat16, and a recent GPU to TF32.
        """
        rounds = self.dtype == jnp.float32 and jax.default_backend() != "cpu"
        return jax.default_matmul_precision("highest") if rounds else contextlib.nullcontext()

    # -- where it begins ----------------------------------------------------------------------------------------------

    def shapes(self, batch: Any) -> Variables:
        """Everything the network holds, as shapes and dtypes; `batch` only gives shapes too.

        Raises:
          MethodError: it keeps collections that are unknown, or a parameter below `layers` has no axis of layers.
        """
        with self.without_labels(batch) as seen:
            made = jax.eval_shape(
                lambda key, batch: self.network.init({"params": key}, batch, train=False),
                jax.random.key(0),
                _shapes(seen),
            )
        unknown = set(made) - {"params", STATISTICS}
        if unknown:
            raise MethodError(
                f"method {self.method.name}: its network keeps {', '.join(sorted(unknown))}; there are params and {STATISTICS}"
            )
        params = flat(made["params"])
        single = [path for path, leaf in params.items() if is_stacked(path) and not leaf.shape]
        if single:
            raise MethodError(
                f"method {self.method.name}: parameter {single[0]} has no axis; below the name {STACK} the first axis of "
                "every parameter is that of stacked layers, so choose another name for the module"
            )
        return Variables(params, flat(made.get(STATISTICS, {})))

    def drawing(self, batch: Any, shapes: Variables, given: Sequence[str]) -> Any:
        """The compiled function that draws what a run begins with: key -> ({path: parameter}, statistics).

        Args:
          batch: gives shapes.
          shapes: of all that the network holds.
          given: parameters that are not drawn, such as those of a pretrained encoder. The others are drawn each from the
            key and its place, whatever is given.
        """
        wanted = sorted(set(shapes.params) - set(given))

        def draw(key: Array) -> tuple[dict[str, Array], dict[str, Array]]:
            made = self.init(key, batch)
            params = flat(made["params"])
            return {path: params[path] for path in wanted}, flat(made.get(STATISTICS, {}))

        # Run once a seed: the seconds that an optimising compiler would take are never won back.
        return jax.jit(draw, compiler_options={"xla_backend_optimization_level": 0})

    def init(self, key: Array, batch: Any) -> Mapping[str, Any]:
        """Everything the network holds, drawn from the key, as trees; `batch` only gives shapes."""
        # Lazily: what the network computes is left out of the program, and only what it draws stays in.
        with self.without_labels(batch) as seen:
            return self.network.lazy_init({"params": key}, _shapes(seen), train=False)


def checked_variables(variables: Mapping[int, Variables], like: Variables) -> dict[int, Variables]:
    """What networks hold, as arrays of the host; like: arrays or shapes of what one holds.

    Raises:
      InputError: nothing is given, or a path is missing, unknown, of another shape, or not float32.
    """
    if not variables:
        raise InputError("there are no variables; expected those of at least one network")
    checked = {}
    for number, (params, statistics) in variables.items():
        given = Variables(*({path: np.asarray(leaf) for path, leaf in of.items()} for of in (params, statistics)))
        for of, own in zip(given, like, strict=True):
            if wrong := sorted(set(of) ^ set(own)):
                found = "is missing" if wrong[0] in own else "is no path of this network"
                raise InputError(f"variables {number}: {wrong[0]} {found}")
            for path, leaf in own.items():
                found, expected = (f"{of[path].dtype} {list(of[path].shape)}", f"float32 {list(leaf.shape)}")
                if found != expected:
                    raise InputError(f"variables {number}: {path} is {found}; expected {expected}")
        checked[number] = given
    return checked


def _shapes(batch: Any) -> Any:
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype), batch)


def flat(tree: Any) -> dict[str, Any]:
    """A tree of dicts -> {path: leaf}."""
    return flax.traverse_util.flatten_dict(tree, sep="/")


def nested(leaves: Flat) -> dict[str, Any]:
    """{path: leaf} -> a tree of dicts."""
    return flax.traverse_util.unflatten_dict(dict(leaves), sep="/")
