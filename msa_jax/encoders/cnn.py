"""One-dimensional convolutions over sequences of different lengths."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from msa_jax.errors import InputError
from msa_jax.layers.dense import uniform
from msa_jax.layers.pooling import without_padding

Array = jax.Array
Initializer = nn.initializers.Initializer


class Convolution(nn.Module):
    """A strided convolution along the steps whose results do not depend on padding.

    Output step t reads the input steps from t * stride - before, `kernel` of them, where before = (kernel - stride) // 2,
    at least 0: SAME padding of a sequence whose length is a multiple of the stride, and the same windows for every other
    length, so that nothing moves when a batch is padded further. Frames outside the sequence count as zeros. There are
    ceil(L / stride) output steps, at least one of any sequence that has a step.

    Computed as one product for each stride's worth of kernel, on steps gathered in blocks of one stride: on a CPU four
    times faster than XLA's convolution for sequences of 50 steps, and no slower for 500.

    Parameters: `kernel` [kernel, d, channels] and `bias` [channels], uniform in ±1/sqrt(kernel * d) as in torch.nn.Conv1d,
    or as `kernel_init` and `bias_init` say.
    """

    channels: int
    kernel: int
    stride: int
    dtype: jnp.dtype = jnp.float32
    kernel_init: Initializer | None = None
    bias_init: Initializer | None = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """[B, L, d], zeros at padding -> [B, ceil(L / stride), channels]."""
        batch, steps, width = x.shape
        init = uniform((self.kernel * width) ** -0.5)
        shape = self.kernel, width, self.channels
        kernel = self.param("kernel", self.kernel_init or init, shape, jnp.float32).astype(self.dtype)
        bias = self.param("bias", self.bias_init or init, (self.channels,), jnp.float32)
        stride, out = self.stride, -(-steps // self.stride)
        blocks = -(-self.kernel // stride)  # a window reaches over so many blocks of one stride
        before, inside = max((self.kernel - stride) // 2, 0), (out + blocks - 1) * stride
        zero = jnp.zeros((), self.dtype)
        x = jax.lax.pad(x.astype(self.dtype), zero, ((0, 0, 0), (before, inside - before - steps, 0), (0, 0, 0)))
        x = x.reshape(batch, out + blocks - 1, stride * width)
        if missing := blocks * stride - self.kernel:
            kernel = jax.lax.pad(kernel, zero, ((0, missing, 0), (0, 0, 0), (0, 0, 0)))
        parts = kernel.reshape(blocks, stride * width, self.channels)
        start = jnp.broadcast_to(bias, (batch, out, self.channels)).astype(self.dtype)  # see `layers.dense.add_bias`
        return sum((x[:, j : j + out] @ parts[j] for j in range(blocks)), start)


class WindowProjection(nn.Module):
    """A convolution over whole windows alone, without a bias: step t is a linear map of the steps t to t + kernel - 1.

    Parameter: `kernel` [kernel, d, channels], uniform in ±1/sqrt(kernel * d) as in torch.nn.Conv1d.
    """

    channels: int
    kernel: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """[B, L, d] -> [B, max(L - kernel + 1, 1), channels]; a shorter sequence counts as followed by zeros."""
        _, steps, width = x.shape
        kernel = self.param("kernel", uniform((self.kernel * width) ** -0.5), (self.kernel, width, self.channels))
        kernel, out = kernel.astype(self.dtype), max(steps - self.kernel + 1, 1)
        x = jnp.pad(x.astype(self.dtype), ((0, 0), (0, max(self.kernel - steps, 0)), (0, 0)))
        parts = [x[:, j : j + out] @ kernel[j] for j in range(self.kernel)]
        return sum(parts[1:], parts[0])


class ConvolutionStack(nn.Module):
    """Convolutions with tanh after each; what lies beyond a sequence is set to zero before each.

    Every length from 1 up is possible: a stride cannot make a sequence shorter than one step.

    channels: of every layer. kernels, strides: one of each for each layer. kernel_init, bias_init: as in `Convolution`.

    Parameters: `layer_0`, `layer_1`, ... with those of `Convolution`.

    Raises:
      InputError: kernels and strides of different number, none of them, or one below 1.
    """

    channels: int
    kernels: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: jnp.dtype = jnp.float32
    kernel_init: Initializer | None = None
    bias_init: Initializer | None = None

    @nn.compact
    def __call__(self, x: Array, length: Array) -> tuple[Array, Array]:
        """[B, L, d], [B] int32 in [0, L] -> [B, L', channels] in (-1, 1), zeros at padding, and the new lengths [B].

        A stride makes ceil(L / stride) of L steps, and of a length likewise.
        """
        check_convolutions(self.kernels, self.strides)
        x = without_padding(x, length)
        given = self.dtype, self.kernel_init, self.bias_init
        for number, (kernel, stride) in enumerate(zip(self.kernels, self.strides, strict=True)):
            x = nn.tanh(Convolution(self.channels, kernel, stride, *given, name=f"layer_{number}")(x))
            length = jax.lax.div(jnp.asarray(length, jnp.int32) + np.int32(stride - 1), np.int32(stride))
            x = without_padding(x, length)
        return x, length


def check_convolutions(kernels: tuple[int, ...], strides: tuple[int, ...], prefix: str = "") -> None:
    """Raises InputError where kernels and strides make no stack; options are named with the prefix."""
    for name, values in (("kernels", kernels), ("strides", strides)):
        if not values or min(values) < 1:
            shown = ",".join(map(str, values)) or "empty"
            raise InputError(f"option {prefix}{name} is {shown}; expected positive whole numbers, one for each layer")
    if len(kernels) != len(strides):
        shown = ",".join(map(str, strides))
        raise InputError(f"option {prefix}strides is {shown}; expected {len(kernels)} numbers, as many as kernels")
