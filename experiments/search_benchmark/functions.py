"""Test functions of global optimisation, each of one point, a list of numbers."""

from __future__ import annotations

import math

import numpy as np


def branin(x):
    a, b = x
    bent = b - 5.1 / (4 * math.pi**2) * a**2 + 5 / math.pi * a - 6
    return bent**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(a) + 10


_WEIGHTS = np.array([1.0, 1.2, 3.0, 3.2])
_A6 = np.reshape(
    [
        10,
        3,
        17,
        3.5,
        1.7,
        8,
        0.05,
        10,
        17,
        0.1,
        8,
        14,
        3,
        3.5,
        1.7,
        10,
        17,
        8,
        17,
        8,
        0.05,
        10,
        0.1,
        14,
    ],
    (4, 6),
)
_P6 = 1e-4 * np.reshape(
    [
        1312,
        1696,
        5569,
        124,
        8283,
        5886,
        2329,
        4135,
        8307,
        3736,
        1004,
        9991,
        2348,
        1451,
        3522,
        2883,
        3047,
        6650,
        4047,
        8828,
        8732,
        5743,
        1091,
        381,
    ],
    (4, 6),
)
_A3 = np.array([[3.0, 10, 30], [0.1, 10, 35], [3.0, 10, 30], [0.1, 10, 35]])
_P3 = 1e-4 * np.array(
    [[3689, 1170, 2673], [4699, 4387, 7470], [1091, 8732, 5547], [381, 5743, 8828]]
)


def hartmann6(x):
    return -float(_WEIGHTS @ np.exp(-(_A6 * (np.asarray(x) - _P6) ** 2).sum(axis=1)))


def hartmann3(x):
    return -float(_WEIGHTS @ np.exp(-(_A3 * (np.asarray(x) - _P3) ** 2).sum(axis=1)))


def ackley(x):
    x = np.asarray(x)
    return float(
        -20 * math.exp(-0.2 * math.sqrt(np.mean(x**2)))
        - math.exp(np.mean(np.cos(2 * math.pi * x)))
        + 20
        + math.e
    )


def rosenbrock(x):
    x = np.asarray(x)
    return float((100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum())


def levy(x):
    w = 1 + (np.asarray(x) - 1) / 4
    middle = (w[:-1] - 1) ** 2 * (1 + 10 * np.sin(math.pi * w[:-1] + 1) ** 2)
    last = (w[-1] - 1) ** 2 * (1 + math.sin(2 * math.pi * w[-1]) ** 2)
    return float(math.sin(math.pi * w[0]) ** 2 + middle.sum() + last)


def styblinski(x):
    x = np.asarray(x)
    return float(0.5 * (x**4 - 16 * x**2 + 5 * x).sum())


def griewank(x):
    x = np.asarray(x)
    waves = np.prod(np.cos(x / np.sqrt(np.arange(1, len(x) + 1))))
    return float((x**2).sum() / 4000 - waves + 1)


def dixon_price(x):
    x = np.asarray(x)
    steps = np.arange(2, len(x) + 1)
    return float((x[0] - 1) ** 2 + (steps * (2 * x[1:] ** 2 - x[:-1]) ** 2).sum())


def zakharov(x):
    x = np.asarray(x)
    slope = (0.5 * np.arange(1, len(x) + 1) * x).sum()
    return float((x**2).sum() + slope**2 + slope**4)


def michalewicz(x):
    x = np.asarray(x)
    return -float((np.sin(x) * np.sin(np.arange(1, len(x) + 1) * x**2 / math.pi) ** 20).sum())
