"""Writes `tests/fixtures/arch2vec-nasbench101-training.safetensors`: two optimiser
steps of the published autoencoder in training mode (batch statistics, noise, dropout).

Run it with a Python that has numpy:

    python3 tests/python/training_fixture.py

Parameters and graphs are those of the evaluation fixture beside it, whose losses and
gradients this script first reproduces. Everything is computed in double precision, with
the derivative written out; the model is that of section 1 of the paper's supplement as
the released code runs it:

    S = (1 + eps) X + (A + A^T) X            each of four layers
    X = relu(BN(relu(BN(S W1^T + b1)) W2^T + b2))
    mu, s = X Wm^T + bm, X Ws^T + bs         s is a logarithm of a standard deviation
    z = dropout(mu + exp(s) noise)
    L = BCE(sigmoid(z Wd^T + bd), operations)   mean over graphs, nodes, operations
      + BCE(sigmoid(z z^T), A) above the diagonal, divided by graphs * nodes^2
      - 1/2 mean(sum(1 + 2 s - mu^2 - exp(2 s))) / (graphs * nodes)
"""

import json
import pathlib
import struct

import numpy as np

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures"
# Two steps: in its first ones Adam moves every parameter by about the learning rate, in
# the direction of a gradient that may be nothing but rounding, and that adds up.
LAYERS, STEPS, DROPOUT, MOMENTUM, NORM_EPSILON = 4, 2, 0.3, 0.1, 1e-5
LARGEST = []  # The largest score of each step.
LEARNING_RATE, CLIP, BETA1, BETA2, ADAM_EPSILON = 1e-3, 5.0, 0.9, 0.999, 1e-8


def read(path):
    """The tensors and the metadata of a safetensors file."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__")
    kinds = {"F32": np.float32, "I64": np.int64}
    tensors = {}
    for name, entry in header.items():
        start, end = (8 + length + offset for offset in entry["data_offsets"])
        values = np.frombuffer(data[start:end], kinds[entry["dtype"]])
        tensors[name] = values.reshape(entry["shape"])
    return tensors, metadata


def write(path, tensors, metadata):
    """Writes a safetensors file of 32-bit and integer tensors."""
    header, content, offset = {"__metadata__": metadata}, [], 0
    for name, values in sorted(tensors.items()):
        kind = np.int64 if values.dtype == np.int64 else np.float32
        data = np.ascontiguousarray(values, kind).tobytes()
        header[name] = {
            "dtype": "I64" if kind is np.int64 else "F32",
            "shape": list(values.shape),
            "data_offsets": [offset, offset + len(data)],
        }
        content.append(data)
        offset += len(data)
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    path.write_bytes(struct.pack("<Q", len(head)) + head + b"".join(content))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def binary_cross_entropy(logits, targets):
    """Per entry, of the logistic function of `logits`."""
    return np.maximum(logits, 0) - logits * targets + np.log1p(np.exp(-np.abs(logits)))


def normalise(rows, parameters, statistics, name, training):
    """Batch normalisation of `[rows, columns]`; what its derivative needs."""
    if training:
        mean, variance = rows.mean(0), rows.var(0)
        count = len(rows)
        for kind, value in (("mean", mean), ("var", variance * count / (count - 1))):
            running = statistics[f"{name}.running_{kind}"]
            running += MOMENTUM * (value - running)
    else:
        mean = statistics[f"{name}.running_mean"]
        variance = statistics[f"{name}.running_var"]
    scale = 1 / np.sqrt(variance + NORM_EPSILON)
    standard = (rows - mean) * scale
    out = standard * parameters[f"{name}.weight"] + parameters[f"{name}.bias"]
    return out, (standard, scale)


def normalise_backward(slope, saved, parameters, gradient, name, training):
    standard, scale = saved
    gradient[f"{name}.weight"] = (slope * standard).sum(0)
    gradient[f"{name}.bias"] = slope.sum(0)
    inner = slope * parameters[f"{name}.weight"]
    if training:
        inner = inner - inner.mean(0) - standard * (inner * standard).mean(0)
    return inner * scale


def step(parameters, statistics, adjacency, operations, noise=None, factors=None):
    """The loss of a batch and its gradient; in training mode where noise is given."""
    training = noise is not None
    graphs, nodes, kinds = operations.shape
    count = graphs * nodes
    symmetric = adjacency + adjacency.transpose(0, 2, 1)

    def aggregate(rows, epsilon):
        by_graph = rows.reshape(graphs, nodes, -1)
        return ((1 + epsilon) * by_graph + symmetric @ by_graph).reshape(count, -1)

    x = operations.reshape(count, kinds)
    saved = []
    for layer in range(LAYERS):
        mlp = f"mlps.{layer}"
        below = x
        summed = aggregate(x, parameters["eps"][layer])
        first = summed @ parameters[f"{mlp}.linears.0.weight"].T
        first = first + parameters[f"{mlp}.linears.0.bias"]
        first, inner = normalise(
            first, parameters, statistics, f"{mlp}.batch_norms.0", training
        )
        hidden = np.maximum(first, 0)
        second = hidden @ parameters[f"{mlp}.linears.1.weight"].T
        second = second + parameters[f"{mlp}.linears.1.bias"]
        second, outer = normalise(
            second, parameters, statistics, f"batch_norms.{layer}", training
        )
        x = np.maximum(second, 0)
        saved.append((below, summed, inner, hidden, outer, x))

    mean = x @ parameters["fc1.weight"].T + parameters["fc1.bias"]
    log_std = x @ parameters["fc2.weight"].T + parameters["fc2.bias"]
    std = np.exp(log_std)
    code = mean
    if training:
        code = (mean + std * noise) * factors
    scores = code @ parameters["decoder.weight.weight"].T + parameters["decoder.weight.bias"]
    by_graph = code.reshape(graphs, nodes, -1)
    edges = by_graph @ by_graph.transpose(0, 2, 1)
    upper = np.triu(np.ones((nodes, nodes)), 1)
    if training:
        LARGEST.append(max(np.abs(scores).max(), np.abs(edges * upper).max()))
    loss = (
        binary_cross_entropy(scores, operations.reshape(count, kinds)).mean()
        + (binary_cross_entropy(edges, adjacency) * upper).sum() / (graphs * nodes**2)
        - 0.5 * (1 + 2 * log_std - mean**2 - std**2).sum(1).mean() / count
    )

    gradient = {}
    slope = (sigmoid(scores) - operations.reshape(count, kinds)) / (count * kinds)
    gradient["decoder.weight.weight"] = slope.T @ code
    gradient["decoder.weight.bias"] = slope.sum(0)
    to_code = slope @ parameters["decoder.weight.weight"]
    slope = (sigmoid(edges) - adjacency) * upper / (graphs * nodes**2)
    to_code = to_code + ((slope + slope.transpose(0, 2, 1)) @ by_graph).reshape(count, -1)
    if training:
        to_code = to_code * factors
    to_mean = to_code + mean / count**2
    to_log_std = (std**2 - 1) / count**2
    if training:
        to_log_std = to_log_std + to_code * noise * std
    gradient["fc1.weight"], gradient["fc1.bias"] = to_mean.T @ x, to_mean.sum(0)
    gradient["fc2.weight"], gradient["fc2.bias"] = to_log_std.T @ x, to_log_std.sum(0)
    slope = to_mean @ parameters["fc1.weight"] + to_log_std @ parameters["fc2.weight"]

    gradient["eps"] = np.zeros(LAYERS)
    for layer in reversed(range(LAYERS)):
        below, summed, inner, hidden, outer, top = saved[layer]
        mlp = f"mlps.{layer}"
        slope = slope * (top > 0)
        slope = normalise_backward(
            slope, outer, parameters, gradient, f"batch_norms.{layer}", training
        )
        gradient[f"{mlp}.linears.1.weight"] = slope.T @ hidden
        gradient[f"{mlp}.linears.1.bias"] = slope.sum(0)
        slope = slope @ parameters[f"{mlp}.linears.1.weight"] * (hidden > 0)
        slope = normalise_backward(
            slope, inner, parameters, gradient, f"{mlp}.batch_norms.0", training
        )
        gradient[f"{mlp}.linears.0.weight"] = slope.T @ summed
        gradient[f"{mlp}.linears.0.bias"] = slope.sum(0)
        slope = slope @ parameters[f"{mlp}.linears.0.weight"]
        gradient["eps"][layer] = (slope * below).sum()
        slope = aggregate(slope, parameters["eps"][layer])
    return loss, gradient


def norm_of(gradient):
    return np.sqrt(sum((values**2).sum() for values in gradient.values()))


def clipped(gradient):
    factor = min(1.0, CLIP / (norm_of(gradient) + 1e-6))
    return {name: values * factor for name, values in gradient.items()}


def adam(parameters, gradient, moments, number):
    for name, slope in clipped(gradient).items():
        first, second = moments.setdefault(name, [0.0, 0.0])
        first = BETA1 * first + (1 - BETA1) * slope
        second = BETA2 * second + (1 - BETA2) * slope**2
        moments[name] = [first, second]
        root = np.sqrt(second / (1 - BETA2**number))
        parameters[name] = parameters[name] - LEARNING_RATE * (
            first / (1 - BETA1**number)
        ) / (root + ADAM_EPSILON)


def model_of(tensors):
    """Parameters and running statistics, in double precision."""
    parameters, statistics = {}, {}
    for name, values in tensors.items():
        if name.startswith("param.") and values.dtype != np.int64:
            place = statistics if "running" in name else parameters
            place[name.removeprefix("param.")] = values.astype(np.float64)
    return parameters, statistics


def train(tensors, steps):
    """Losses, the first gradient, and the model after some steps. Each of `steps` is
    the noise and the dropout's factors, or two times None in evaluation mode."""
    parameters, statistics = model_of(tensors)
    adjacency = tensors["input.adj"].astype(np.float64)
    operations = tensors["input.ops"].astype(np.float64)
    losses, moments, first = [], {}, None
    for number, (noise, factors) in enumerate(steps, 1):
        loss, gradient = step(parameters, statistics, adjacency, operations, noise, factors)
        losses.append(float(loss))
        first = first or gradient
        adam(parameters, gradient, moments, number)
    return losses, first, parameters | statistics


def check(tensors, metadata):
    """Holds this script against the evaluation fixture, and its derivative in training
    mode against differences of the loss."""
    losses, first, after = train(tensors, [(None, None)] * 5)
    expected = json.loads(metadata["losses"])
    assert np.abs(np.subtract(losses, expected)).max() < 1e-6, (losses, expected)
    assert abs(norm_of(first) - float(metadata["grad_norm_first"])) < 1e-6
    for name, found in (
        ("grad_eps", clipped(first)["eps"]),
        ("grad_fc1", clipped(first)["fc1.weight"]),
        ("after5.mlps.0.linears.0.weight", after["mlps.0.linears.0.weight"]),
    ):
        assert np.abs(found - tensors[f"expect.{name}"]).max() < 1e-5, name

    random = np.random.default_rng(2)
    rows, latent = tensors["expect.mu"].reshape(-1, 16).shape
    noise = random.standard_normal((rows, latent))
    factors = (random.random((rows, latent)) >= DROPOUT) / (1 - DROPOUT)
    adjacency = tensors["input.adj"].astype(np.float64)
    operations = tensors["input.ops"].astype(np.float64)

    def loss(parameters):
        _, statistics = model_of(tensors)
        return step(parameters, statistics, adjacency, operations, noise, factors)

    parameters, _ = model_of(tensors)
    _, gradient = loss(parameters)
    for name, slope in gradient.items():
        direction = random.standard_normal(slope.shape)
        moved = [
            loss(parameters | {name: parameters[name] + sign * 1e-8 * direction})[0]
            for sign in (1, -1)
        ]
        found, expected = (moved[0] - moved[1]) / 2e-8, (slope * direction).sum()
        # A small distance: where a rectifier changes sides the loss has no slope.
        assert abs(found - expected) < 1e-6 * (1 + abs(expected)), (name, found, expected)


def main():
    tensors, metadata = read(FIXTURES / "arch2vec-nasbench101.safetensors")
    check(tensors, metadata)
    # Small means and deviations, so that no score is so large that the logistic function
    # is 1 in single precision: the loss of such a score is another one there.
    tensors["param.fc1.weight"] = tensors["param.fc1.weight"] / 4
    tensors["param.fc2.bias"] = tensors["param.fc2.bias"] - 1
    random = np.random.default_rng(1)
    graphs, nodes, latent = tensors["expect.mu"].shape
    shape = (STEPS, graphs * nodes, latent)
    # As single precision has them, so that the engines are given the same.
    noise = random.standard_normal(shape).astype(np.float32)
    kept = random.random(shape) >= DROPOUT
    factors = (kept / (1 - DROPOUT)).astype(np.float32)
    steps = [(n.astype(np.float64), f.astype(np.float64)) for n, f in zip(noise, factors)]
    LARGEST.clear()
    losses, first, after = train(tensors, steps)
    assert max(LARGEST) < 14, LARGEST

    out = {
        name: values
        for name, values in tensors.items()
        if name.startswith(("param.", "input."))
    }
    out["input.noise"] = noise.reshape(STEPS, graphs, nodes, latent)
    out["input.dropout"] = factors.reshape(STEPS, graphs, nodes, latent)
    out["expect.grad_eps"] = clipped(first)["eps"]
    out["expect.grad_fc1"] = clipped(first)["fc1.weight"]
    # Biases before a batch normalisation have no gradient: what rounding leaves of it
    # decides how Adam moves them.
    for name in (
        "eps",
        "fc1.weight",
        "fc2.bias",
        "decoder.weight.weight",
        "mlps.0.linears.0.weight",
        "mlps.3.batch_norms.0.weight",
        "batch_norms.3.bias",
        "mlps.0.batch_norms.0.running_var",
        "batch_norms.3.running_mean",
        "batch_norms.3.running_var",
    ):
        out[f"expect.after{STEPS}.{name}"] = after[name]
    write(
        FIXTURES / "arch2vec-nasbench101-training.safetensors",
        out,
        {
            "mode": "train",
            "losses": json.dumps(losses),
            "grad_norm_first": repr(float(norm_of(first))),
            "lr": "1e-3",
            "clip": "5",
        },
    )
    print("losses", losses, "gradient", norm_of(first), "scores", LARGEST)


main()
