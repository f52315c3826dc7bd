"""Three classifiers on two rings of points: which one is right most often?

python3 compare.py --model nearest --seed 1
"""
import argparse
import math
import random

import reprise_task


def points(rng, count):
    """Points of two noisy rings around the origin, with the ring of each."""
    found = []
    for _ in range(count):
        ring = rng.randrange(2)
        angle = rng.uniform(0, 2 * math.pi)
        radius = 1 + ring + rng.gauss(0, 0.35)
        found.append(((radius * math.cos(angle), radius * math.sin(angle)), ring))
    return found


def nearest(train, point, neighbours=5):
    """The ring of most of the nearest points."""
    near = sorted(train, key=lambda known: math.dist(known[0], point))[:neighbours]
    return int(sum(ring for _, ring in near) * 2 > neighbours)


def centroid(train, point):
    """The ring whose mean point is nearer; both means are near the origin."""
    means = []
    for ring in (0, 1):
        own = [at for at, known in train if known == ring]
        means.append([sum(axis) / len(own) for axis in zip(*own)])
    return int(math.dist(point, means[1]) < math.dist(point, means[0]))


def radius(train, point):
    """The ring whose mean distance from the origin is nearer."""
    means = []
    for ring in (0, 1):
        own = [math.hypot(*at) for at, known in train if known == ring]
        means.append(sum(own) / len(own))
    distance = math.hypot(*point)
    return int(abs(distance - means[1]) < abs(distance - means[0]))


MODELS = {"nearest": nearest, "centroid": centroid, "radius": radius}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=MODELS, required=True)
    parser.add_argument("--seed", type=int, required=True)
    arguments = parser.parse_args()
    # The same points for every model with the same seed, so that models can be compared
    # seed by seed.
    rng = random.Random(arguments.seed)
    train, test = points(rng, 200), points(rng, 200)
    model = MODELS[arguments.model]
    right = 0
    for step, (point, ring) in enumerate(test, start=1):
        right += model(train, point) == ring
        if step % 50 == 0:
            reprise_task.log(step, accuracy=100 * right / step)
    reprise_task.finish(accuracy=100 * right / len(test))


if __name__ == "__main__":
    main()
