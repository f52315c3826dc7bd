"""The published method in plain PyTorch, timed: what the workers are compared with.

Serves measurements: one JSON object per line comes in with the measure's name under
"measure" and its settings, one goes out with "seconds", "work" (the units done in
them) and what else was noted; a request that cannot be served gets {"error": ...}.
Loading, models and warm-ups are outside of the time.

Sizes, order and the habits of a step are those of the published code (protocol
notes, named here by section and by quirk as Q1 to Q22): eager mode, one thread, one
graph at a time where it takes one at a time. Nothing is fused, batched or cached
that it does not fuse, batch or cache, and nothing is slower than it has to be.
"""

import argparse
import hashlib
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# One thread for the BLAS of NumPy and SciPy too; they read this when imported.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import numpy as np
import scipy
import torch
import torch.nn.functional as F
from scipy import optimize
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, Normal

Request = dict[str, Any]
Answer = dict[str, Any]

NODES = 7
OPERATIONS = ["input", "conv1x1", "conv3x3", "maxpool", "output"]
INNER_OPERATIONS = {"conv1x1", "conv3x3", "maxpool"}
MAX_EDGES = 9
PADDING = 255
GRAPH_BYTES = NODES * NODES + NODES

HIDDEN = 128
LATENT = 16
LAYERS = 4
DROPOUT = 0.3
LEARNING_RATE = 1e-3
MAX_GRADIENT_NORM = 5.0
TRAIN_SHARE = 0.9

# Steps in training mode from which evaluation mode gets its running statistics.
WARM_UP_STEPS = 20
# What the model that validity is measured on has seen: less than an epoch, enough
# for about the published share of valid points.
PRIOR_BATCH = 32
PRIOR_TRAIN_STEPS = 300
PRIOR_EVAL_STEPS = 700
PRIOR_GATHERED_STEPS = 200

BO_INITIAL = 16
BO_PER_ROUND = 5
BO_MAX_ROUNDS = 150
BO_EPOCHS = 100
BO_BATCH = 10
BO_LEARNING_RATE = 0.01
BO_CHUNK = 200
BO_TARGET = 0.95
BO_LOG_NOISE_MEAN = -3.0
BO_LOG_BOUND = 10.0

RL_EPISODE = 16
RL_LEARNING_RATE = 0.01
RL_BASELINE = 0.95

SEED = 1


class RequestError(ValueError):
    """A request that makes no sense; the message says why."""


def count(request: Request, name: str, default: int | None = None) -> int:
    """A positive whole number of the request."""
    value = request.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise RequestError(f"`{name}` must be a positive whole number, not {value!r}")
    return value


def parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise RequestError(f"the request is not JSON at character {error.pos}") from error


def explained(error: Exception) -> str:
    """One line that says what failed; of a file, with its name."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"cannot read `{error.filename}`: {error.strerror.lower()}"
    return str(error)


# Graphs and the autoencoder (sections 1 and 2).


@dataclass(frozen=True)
class Graphs:
    """All graphs as stacked tensors: strictly upper adjacency and one-hot rows."""

    adjacency: Tensor
    operations: Tensor

    @classmethod
    def read(cls, path: Path) -> "Graphs":
        raw = np.fromfile(path, dtype=np.uint8)
        if raw.size == 0 or raw.size % GRAPH_BYTES:
            raise RequestError(f"`{path}` does not hold graphs of {GRAPH_BYTES} bytes")
        raw = raw.reshape(-1, GRAPH_BYTES)
        adjacency = raw[:, : NODES * NODES].reshape(-1, NODES, NODES)
        operations = raw[:, NODES * NODES :]
        if not np.isin(operations, [*range(len(OPERATIONS)), PADDING]).all():
            raise RequestError(f"`{path}` holds an operation that does not exist")
        one_hot = operations[..., None] == np.arange(len(OPERATIONS))
        return cls(
            torch.from_numpy(adjacency.astype(np.float32)),
            torch.from_numpy(one_hot.astype(np.float32)),
        )

    def __len__(self) -> int:
        return len(self.adjacency)

    def batches(self, size: int) -> list[tuple[Tensor, Tensor]]:
        """The training graphs in one permuted order, the same for every epoch (Q4)."""
        train = int(TRAIN_SHARE * len(self))
        order = torch.randperm(train, generator=torch.Generator().manual_seed(SEED))
        adjacency = torch.split(self.adjacency[order], size)
        operations = torch.split(self.operations[order], size)
        return list(zip(adjacency, operations))


def symmetric(adjacency: Tensor) -> Tensor:
    """The preprocessing: every edge in both directions."""
    return adjacency + adjacency.triu(1).transpose(-1, -2)


def upper(adjacency: Tensor) -> Tensor:
    """The preprocessing's reverse."""
    return adjacency.triu(1)


class Mlp(nn.Module):
    """What a layer of the encoder does to the aggregated neighbours."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.inner = nn.Linear(inputs, HIDDEN)
        self.norm = nn.BatchNorm1d(HIDDEN)
        self.outer = nn.Linear(HIDDEN, HIDDEN)

    def forward(self, rows: Tensor) -> Tensor:
        return self.outer(F.relu(self.norm(self.inner(rows))))


class Autoencoder(nn.Module):
    """Isomorphism-network encoder and inner-product decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.eps = nn.Parameter(torch.zeros(LAYERS))
        inputs = [len(OPERATIONS)] + [HIDDEN] * (LAYERS - 1)
        self.mlps = nn.ModuleList(Mlp(size) for size in inputs)
        self.norms = nn.ModuleList(nn.BatchNorm1d(HIDDEN) for _ in inputs)
        self.mean = nn.Linear(HIDDEN, LATENT)
        self.log_std = nn.Linear(HIDDEN, LATENT)
        self.dropout = nn.Dropout(DROPOUT)
        self.decoder = nn.Linear(LATENT, len(OPERATIONS))

    def encode(self, operations: Tensor, adjacency: Tensor) -> tuple[Tensor, Tensor]:
        graphs, nodes, _ = operations.shape
        hidden = operations
        for layer, (mlp, norm) in enumerate(zip(self.mlps, self.norms)):
            neighbours = torch.matmul(adjacency, hidden)
            aggregated = (1 + self.eps[layer]) * hidden + neighbours
            rows = mlp(aggregated.view(graphs * nodes, -1))
            hidden = F.relu(norm(rows)).view(graphs, nodes, -1)
        return self.mean(hidden), self.log_std(hidden)

    def decode(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        codes = self.dropout(codes)
        operations = torch.sigmoid(self.decoder(codes))
        adjacency = torch.sigmoid(torch.matmul(codes, codes.transpose(-1, -2)))
        return operations, adjacency

    def forward(
        self, operations: Tensor, adjacency: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        mean, log_std = self.encode(operations, adjacency)
        codes = mean
        if self.training:
            codes = mean + torch.exp(log_std) * torch.randn_like(log_std)
        return *self.decode(codes), mean, log_std


def loss_of(
    recon: tuple[Tensor, Tensor], target: tuple[Tensor, Tensor], mean: Tensor, log_std: Tensor
) -> Tensor:
    """Both reconstruction terms and the twice scaled divergence (Q3)."""
    operations = F.binary_cross_entropy(recon[0], target[0])
    adjacency = F.binary_cross_entropy(recon[1], target[1])
    graphs, nodes, _ = mean.shape
    terms = 1 + 2 * log_std - mean.pow(2) - torch.exp(log_std).pow(2)
    divergence = -0.5 / (graphs * nodes) * torch.mean(torch.sum(terms, dim=2))
    return operations + adjacency + divergence


class Pretraining:
    """A model with its optimiser that goes on through the batches from call to call."""

    def __init__(self, device: str) -> None:
        torch.manual_seed(SEED)
        self.device = device
        self.model = Autoencoder().to(device)
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=LEARNING_RATE)
        self.position = 0

    def run(self, batches: list[tuple[Tensor, Tensor]], steps: int) -> tuple[int, list[Tensor]]:
        """Graphs trained on and the means of their codes, with their history (Q18)."""
        graphs, losses, means = 0, [], []
        for _ in range(steps):
            batch = batches[self.position % len(batches)]
            loss, mean = self.step(*batch)
            losses.append(loss)
            means.append(mean)
            graphs += len(batch[0])
            self.position += 1
        return graphs, means

    def step(self, adjacency: Tensor, operations: Tensor) -> tuple[float, Tensor]:
        self.optimiser.zero_grad()
        adjacency = symmetric(adjacency.to(self.device))
        operations = operations.to(self.device)
        operations_out, adjacency_out, mean, log_std = self.model(operations, adjacency)
        recon = (operations_out, upper(adjacency_out))
        loss = loss_of(recon, (operations, upper(adjacency)), mean, log_std)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), MAX_GRADIENT_NORM)
        self.optimiser.step()
        return loss.item(), mean


# Validity of decoded points (section 3), as the benchmark's own library checks it.


def pruned(
    matrix: np.ndarray, operations: list[str]
) -> tuple[np.ndarray, list[str]] | None:
    """The cell without vertices off every path from input to output, if there is one."""
    vertices = len(matrix)
    forward = reachable(0, lambda x: (y for y in range(x + 1, vertices) if matrix[x, y]))
    backward = reachable(vertices - 1, lambda y: (x for x in range(y) if matrix[x, y]))
    extra = sorted(set(range(vertices)) - (forward & backward))
    if len(extra) > vertices - 2:
        return None
    matrix = np.delete(np.delete(matrix, extra, axis=0), extra, axis=1)
    return matrix, [name for vertex, name in enumerate(operations) if vertex not in extra]


def reachable(start: int, neighbours: Callable[[int], Iterator[int]]) -> set[int]:
    seen, frontier = {start}, [start]
    while frontier:
        for vertex in neighbours(frontier.pop()):
            if vertex not in seen:
                seen.add(vertex)
                frontier.append(vertex)
    return seen


def is_valid(matrix: np.ndarray, operations: list[str]) -> bool:
    """Whether the decoded graph is a cell of the search space once it is pruned."""
    if np.triu(matrix, 1).tolist() != matrix.tolist():
        return False
    cell = pruned(matrix, operations)
    if cell is None:
        return False
    matrix, operations = cell
    return (
        len(operations) <= NODES
        and int(np.sum(matrix)) <= MAX_EDGES
        and operations[0] == "input"
        and operations[-1] == "output"
        and all(operation in INNER_OPERATIONS for operation in operations[1:-1])
    )


def md5(text: str) -> str:
    return hashlib.md5(text.encode("utf-8")).hexdigest()


def graph_hash(matrix: np.ndarray, labels: list[list[float]]) -> str:
    """The benchmark's hash, the same for every numbering of the vertices."""
    vertices = range(len(matrix))
    out_degrees = np.sum(matrix, axis=1).tolist()
    in_degrees = np.sum(matrix, axis=0).tolist()
    hashes = [md5(str(vertex)) for vertex in zip(out_degrees, in_degrees, labels)]
    for _ in vertices:
        following = []
        for v in vertices:
            before = sorted(hashes[w] for w in vertices if matrix[w, v])
            after = sorted(hashes[w] for w in vertices if matrix[v, w])
            following.append(md5("|".join(["".join(before), "".join(after), hashes[v]])))
        hashes = following
    return md5(str(sorted(hashes)))


@dataclass(frozen=True)
class Prior:
    """A trained model and the Gaussian of its codes for each node and dimension."""

    model: Autoencoder
    mean: Tensor
    std: Tensor

    @classmethod
    def fit(cls, batches: list[tuple[Tensor, Tensor]]) -> "Prior":
        trainer = Pretraining("cpu")
        trainer.run(batches, PRIOR_TRAIN_STEPS)
        trainer.model.eval()
        trainer.run(batches, PRIOR_EVAL_STEPS - PRIOR_GATHERED_STEPS)
        _, means = trainer.run(batches, PRIOR_GATHERED_STEPS)
        codes = torch.cat([mean.detach() for mean in means])
        return cls(trainer.model, codes.mean(dim=0), codes.std(dim=0))

    def decode_point(self) -> tuple[np.ndarray, Tensor]:
        """Adjacency and most likely operations of one random point."""
        codes = torch.randn(NODES, LATENT) * self.std + self.mean
        operations, adjacency = self.model.decode(codes.unsqueeze(0))
        chosen = torch.argmax(operations.squeeze(0), dim=-1)
        edges = (adjacency.squeeze(0) > 0.5).int().triu(1)
        return edges.numpy(), chosen

    def measure(self, points: int) -> tuple[int, int]:
        """Valid points and distinct graphs among them."""
        valid, distinct = 0, set()
        for _ in range(points):
            matrix, chosen = self.decode_point()
            if is_valid(matrix, [OPERATIONS[index] for index in chosen.tolist()]):
                valid += 1
                labels = F.one_hot(chosen, len(OPERATIONS)).float().tolist()
                distinct.add(graph_hash(matrix, labels))
        return valid, len(distinct)


def embed(model: Autoencoder, graphs: Graphs, number: int) -> list[Tensor]:
    """Embeddings of the first graphs in index order (section 4)."""
    features = []
    with torch.no_grad():
        for index in range(number):
            adjacency = symmetric(graphs.adjacency[index].unsqueeze(0))
            operations = graphs.operations[index].unsqueeze(0)
            mean, _ = model.encode(operations, adjacency)
            features.append(mean.squeeze(0).mean(dim=0))
    return features


# Searches on a table of embeddings (section 5).


@dataclass(frozen=True)
class Table:
    """Embedding and validation accuracy of every architecture."""

    features: Tensor
    accuracies: Tensor

    @classmethod
    def read(cls, request: Request) -> "Table":
        rows, dims = count(request, "rows"), count(request, "dims")
        path = request.get("table")
        if not isinstance(path, str):
            raise RequestError("`table` must be the name of a file")
        raw = np.fromfile(path, dtype=np.float32)
        if raw.size != rows * (dims + 1):
            raise RequestError(f"`{path}` does not hold {rows} rows of {dims} features")
        features, accuracies = raw[: rows * dims].reshape(rows, dims), raw[rows * dims :]
        return cls(torch.from_numpy(features), torch.from_numpy(accuracies))


@dataclass
class Stopwatch:
    """Seconds spent in the parts of a measure."""

    parts: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def of(self, part: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.parts[part] = self.parts.get(part, 0.0) + time.perf_counter() - start


class BasisNetwork(nn.Module):
    """The network whose hidden layer is the regression's basis."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(inputs, HIDDEN)
        self.out = nn.Linear(HIDDEN, 1)

    def basis(self, inputs: Tensor) -> Tensor:
        return torch.tanh(self.hidden(inputs))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.out(self.basis(inputs))


def minibatches(
    inputs: np.ndarray, targets: np.ndarray, rng: np.random.RandomState
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Shuffled full batches; the last incomplete one is dropped."""
    size = min(BO_BATCH, len(inputs))
    indices = np.arange(len(inputs))
    rng.shuffle(indices)
    for start in range(0, len(inputs) - size + 1, size):
        chosen = indices[start : start + size]
        yield inputs[chosen], targets[chosen]


class Surrogate:
    """Bayesian linear regression on the basis of a network trained from scratch."""

    def __init__(self, inputs: np.ndarray, targets: np.ndarray) -> None:
        # The published searches seed this alike in every round.
        self.rng = np.random.RandomState(SEED)
        self.mean, self.std = inputs.mean(axis=0), inputs.std(axis=0)
        self.inputs = self.standardised(inputs)
        self.targets = targets
        self.network = BasisNetwork(inputs.shape[1])
        self.evaluations = 0

    def standardised(self, inputs: np.ndarray) -> np.ndarray:
        return (inputs - self.mean) / self.std

    def basis(self, inputs: np.ndarray) -> np.ndarray:
        return self.network.basis(torch.Tensor(inputs)).detach().numpy()

    def train(self) -> None:
        optimiser = torch.optim.Adam(self.network.parameters(), lr=BO_LEARNING_RATE)
        targets = self.targets[:, None]
        for _ in range(BO_EPOCHS):
            epoch_loss = 0.0
            for batch_inputs, batch_targets in minibatches(self.inputs, targets, self.rng):
                optimiser.zero_grad()
                output = self.network(torch.Tensor(batch_inputs))
                loss = F.mse_loss(output, torch.Tensor(batch_targets))
                loss.backward()
                optimiser.step()
                epoch_loss += loss.item()
        self.phi = self.basis(self.inputs)

    def choose_hyperparameters(self) -> None:
        start = [self.rng.normal(0.0, 1.0), self.rng.normal(BO_LOG_NOISE_MEAN, 1.0)]
        # Infinities are part of it (Q9).
        with np.errstate(over="ignore", invalid="ignore"):
            found = optimize.fmin(
                lambda theta: -self.log_likelihood(theta), start, disp=False, full_output=True
            )
        self.evaluations = found[3]
        self.alpha, self.beta = np.exp(found[0][0]), 1 / np.exp(found[0][1])

    def posterior(self, alpha: float, beta: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Precision of the weights, its inverse and their mean, in double precision
        because the scalars are (section 11)."""
        precision = beta * np.dot(self.phi.T, self.phi) + np.eye(HIDDEN) * alpha
        covariance = np.linalg.inv(precision)
        weights = np.dot(beta * np.dot(covariance, self.phi.T), self.targets)
        return precision, covariance, weights

    def log_likelihood(self, theta: np.ndarray) -> float:
        """With the defects of Q9: residual not squared, determinant as such, no prior."""
        if np.any(np.abs(theta) > BO_LOG_BOUND):
            return -np.inf
        alpha, beta = np.exp(theta[0]), 1 / np.exp(theta[1])
        precision, _, weights = self.posterior(alpha, beta)
        rows = len(self.targets)
        residual = np.linalg.norm(self.targets - np.dot(self.phi, weights), 2)
        value = HIDDEN / 2 * np.log(alpha) + rows / 2 * np.log(beta)
        value -= rows / 2 * np.log(2 * np.pi) + beta / 2 * residual
        value -= alpha / 2 * np.dot(weights, weights)
        return value - 0.5 * np.log(np.linalg.det(precision) + 1e-10)

    def fit_regression(self) -> None:
        _, self.covariance, self.weights = self.posterior(self.alpha, self.beta)

    def predict(self, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        phi = self.basis(self.standardised(inputs))
        variance = np.diag(np.dot(np.dot(phi, self.covariance), phi.T)) + 1 / self.beta
        return np.dot(phi, self.weights), variance

    def predict_table(self, features: Tensor) -> tuple[Tensor, Tensor]:
        means, variances = [], []
        for chunk in torch.split(features, BO_CHUNK):
            mean, variance = self.predict(chunk.numpy())
            means.append(torch.Tensor(mean))
            variances.append(torch.Tensor(variance))
        return torch.cat(means), torch.cat(variances)


def expected_improvement(mean: Tensor, variance: Tensor) -> Tensor:
    """With the variance in place of its root and a fixed target (Q8)."""
    u = (mean - BO_TARGET) / variance
    normal = Normal(torch.zeros_like(u), torch.ones_like(u))
    return variance * (torch.exp(normal.log_prob(u)) + u * normal.cdf(u))


def bo_round(table: Table, bought: Tensor, watch: Stopwatch) -> tuple[Tensor, int]:
    """What one round would buy, and how often it computed the likelihood."""
    inputs, targets = table.features[bought].numpy(), table.accuracies[bought].numpy()
    surrogate = Surrogate(inputs, targets)
    with watch.of("training"):
        surrogate.train()
    with watch.of("likelihood"):
        surrogate.choose_hyperparameters()
        surrogate.fit_regression()
    with watch.of("prediction"):
        mean, variance = surrogate.predict_table(table.features)
    with watch.of("acquisition"):
        best = torch.topk(expected_improvement(mean, variance), BO_PER_ROUND).indices
        accuracies = table.accuracies[best.flip(0)]
    return accuracies, surrogate.evaluations


class Policy(nn.Module):
    """Recurrent policy over embeddings with a Gaussian of unit covariance."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(dims, HIDDEN)
        self.mean = nn.Linear(HIDDEN, dims)
        self.covariance = torch.eye(dims)
        self.reset()

    def reset(self) -> None:
        self.memory = torch.zeros(1, HIDDEN), torch.zeros(1, HIDDEN)

    def act(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """A sampled action and the logarithm of its probability."""
        self.memory = self.cell(state.unsqueeze(0), self.memory)
        normal = MultivariateNormal(self.mean(self.memory[0]), self.covariance)
        action = normal.sample()
        return action, normal.log_prob(action)


def nearest_unvisited(features: Tensor, action: Tensor, visited: set[int]) -> int:
    distances = torch.norm(features - action, dim=1)
    order = torch.topk(distances, len(distances), largest=False).indices
    place = 0
    while order[place].item() in visited:
        place += 1
    return int(order[place])


def reinforce(table: Table, steps: int) -> None:
    """A search of so many steps from a random start."""
    policy = Policy(table.features.shape[1])
    optimiser = torch.optim.Adam(policy.parameters(), lr=RL_LEARNING_RATE)
    position = int(torch.randint(len(table.features), ()))
    visited = {position}
    terms = []
    for _ in range(steps):
        action, log_probability = policy.act(table.features[position])
        position = nearest_unvisited(table.features, action, visited)
        visited.add(position)
        reward = table.accuracies[position].item()
        terms.append(-log_probability * (reward - RL_BASELINE))
        if len(terms) == RL_EPISODE:
            optimiser.zero_grad()
            torch.cat(terms).mean().backward()
            optimiser.step()
            policy.reset()
            terms = []


# The measures and their server.


class Bench:
    """All measures, with what persists between their requests."""

    def __init__(self, graphs: Graphs) -> None:
        self.graphs = graphs
        self.trainers: dict[tuple[str, str], Pretraining] = {}
        self.batches: dict[int, list[tuple[Tensor, Tensor]]] = {}
        self.fitted: Prior | None = None
        self.measures: dict[str, Callable[[Request], Answer]] = {
            "about": self.about,
            "gemm": self.gemm,
            "pretrain": self.pretrain,
            "validity": self.validity,
            "embed": self.embed,
            "bo": self.bo,
            "rl": self.rl,
        }

    def answer(self, line: str) -> Answer:
        try:
            request = parsed(line)
            if not isinstance(request, dict):
                raise RequestError("a request is a JSON object")
            measure = self.measures.get(str(request.get("measure")))
            if measure is None:
                names = ", ".join(self.measures)
                raise RequestError(f"`measure` must be one of {names}")
            return measure(request)
        except (ValueError, OSError, RuntimeError) as error:
            return {"error": explained(error)}

    def about(self, _: Request) -> Answer:
        return {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "scipy": scipy.__version__,
        }

    def gemm(self, request: Request) -> Answer:
        size, repeats = count(request, "size"), count(request, "repeats")
        left, right = torch.rand(size, size), torch.rand(size, size)
        out = torch.empty(size, size)
        torch.mm(left, right, out=out)
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            torch.mm(left, right, out=out)
            times.append(time.perf_counter() - start)
        gflops = 2 * size**3 / min(times) / 1e9
        return {"seconds": sum(times), "work": repeats, "gflops": gflops}

    def pretrain(self, request: Request) -> Answer:
        mode, device = request.get("mode"), request.get("device", "cpu")
        if mode not in ("train", "eval"):
            raise RequestError(f"`mode` must be train or eval, not {mode!r}")
        if device not in ("cpu", "cuda"):
            raise RequestError(f"`device` must be cpu or cuda, not {device!r}")
        if device == "cuda" and not torch.cuda.is_available():
            raise RequestError("there is no CUDA device")
        batches = self.batches_of(count(request, "batch", 32))
        steps = count(request, "steps")
        trainer = self.trainer(mode, device, batches)
        synchronise(device)
        start = time.perf_counter()
        # The means stay until the end, as they do until the end of an epoch.
        graphs, _means = trainer.run(batches, steps)
        synchronise(device)
        return {"seconds": time.perf_counter() - start, "work": graphs}

    def batches_of(self, size: int) -> list[tuple[Tensor, Tensor]]:
        if size not in self.batches:
            self.batches[size] = self.graphs.batches(size)
        return self.batches[size]

    def trainer(
        self, mode: str, device: str, batches: list[tuple[Tensor, Tensor]]
    ) -> Pretraining:
        if (mode, device) not in self.trainers:
            trainer = Pretraining(device)
            trainer.run(batches, WARM_UP_STEPS)
            # Q1: all epochs but the first train in evaluation mode.
            trainer.model.train(mode == "train")
            self.trainers[mode, device] = trainer
        return self.trainers[mode, device]

    def prior(self) -> Prior:
        if self.fitted is None:
            self.fitted = Prior.fit(self.batches_of(PRIOR_BATCH))
        return self.fitted

    def validity(self, request: Request) -> Answer:
        points = count(request, "points")
        prior = self.prior()
        torch.manual_seed(SEED)
        start = time.perf_counter()
        valid, unique = prior.measure(points)
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "work": points, "valid": valid, "unique": unique}

    def embed(self, request: Request) -> Answer:
        number = count(request, "graphs")
        if number > len(self.graphs):
            raise RequestError(f"there are only {len(self.graphs)} graphs")
        model = self.prior().model
        start = time.perf_counter()
        embed(model, self.graphs, number)
        return {"seconds": time.perf_counter() - start, "work": number}

    def bo(self, request: Request) -> Answer:
        table, rounds = Table.read(request), request.get("rounds")
        if not isinstance(rounds, list) or not rounds:
            raise RequestError("`rounds` must be a list of round numbers")
        if not all(isinstance(r, int) and 1 <= r <= BO_MAX_ROUNDS for r in rounds):
            raise RequestError(f"a round is a number from 1 to {BO_MAX_ROUNDS}")
        sizes = [BO_INITIAL + BO_PER_ROUND * (r - 1) for r in rounds]
        if max(sizes) > len(table.accuracies):
            raise RequestError("the table has fewer rows than a round has data points")
        torch.manual_seed(SEED)
        order = torch.randperm(len(table.accuracies))
        watch, per_round, evaluations = Stopwatch(), [], 0
        for size in sizes:
            start = time.perf_counter()
            _, computed = bo_round(table, order[:size], watch)
            per_round.append(time.perf_counter() - start)
            evaluations += computed
        return {
            "seconds": sum(per_round),
            "work": len(rounds),
            "per_round": per_round,
            "parts": watch.parts,
            "likelihood_evaluations": evaluations,
        }

    def rl(self, request: Request) -> Answer:
        table, steps = Table.read(request), count(request, "steps")
        if steps >= len(table.accuracies):
            raise RequestError("the table has too few rows for so many steps")
        torch.manual_seed(SEED)
        start = time.perf_counter()
        reinforce(table, steps)
        return {"seconds": time.perf_counter() - start, "work": steps}


def synchronise(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--graphs", type=Path, required=True, help="file of raw graphs")
    parser.add_argument("--core", type=int, help="core to run on")
    arguments = parser.parse_args()
    if arguments.core is not None:
        os.sched_setaffinity(0, {arguments.core})
    torch.set_num_threads(1)
    try:
        bench = Bench(Graphs.read(arguments.graphs))
    except (RequestError, OSError) as error:
        sys.exit(f"error: {explained(error)}")
    for line in sys.stdin:
        print(json.dumps(bench.answer(line)), flush=True)


if __name__ == "__main__":
    main()
