"""Evaluates small scikit-learn models once over whole grids: the tuning tasks of this study.

    python tables.py            # needs scikit-learn; about 6 minutes of a core, writes tables.npz

Every sampler then reads scores from these tables, so that none waits for a model and all see the
same numbers. Scores are losses (less is better) of three-fold cross-validation.
"""

from __future__ import annotations

import itertools
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

HERE = Path(__file__).parent
GRIDS: dict[str, dict[str, Any]] = {
    "svm_digits": {
        "C": np.logspace(-2, 3, 13),
        "gamma": np.logspace(-5, 0, 13),
        "kernel": ["rbf", "poly", "sigmoid"],
        "coef0": [0.0, 0.5, 1.0, 2.0],
    },
    "boosting_diabetes": {
        "learning_rate": np.logspace(-2.3, 0, 9),
        "max_depth": [1, 2, 3, 4, 5],
        "subsample": [0.4, 0.6, 0.8, 1.0],
        "min_samples_leaf": [1, 3, 10, 30],
        "n_estimators": [5, 10, 20, 40, 80, 120, 160],
    },
    "network_wine": {
        "hidden": [4, 8, 16, 32, 64],
        "learning_rate_init": np.logspace(-4, -0.5, 8),
        "alpha": np.logspace(-5, 1, 6),
        "activation": ["relu", "tanh", "logistic"],
        "epochs": [3, 10, 30, 60],
    },
    "sgd_cancer": {
        "loss": ["hinge", "log_loss", "modified_huber"],
        "penalty": ["l2", "l1", "elasticnet"],
        "alpha": np.logspace(-6, 0, 9),
        "eta0": np.logspace(-4, 1, 9),
        "learning_rate": ["constant", "invscaling", "adaptive"],
    },
}


def svm_digits(C, gamma, kernel, coef0):  # noqa: N803
    return _error(_DIGITS, SVC(C=C, gamma=gamma, kernel=kernel, coef0=coef0, degree=3))


def sgd_cancer(**values):
    return _error(_CANCER, SGDClassifier(**values, max_iter=20, tol=None, random_state=0))


def network_wine(epochs, hidden, **values):
    model = MLPClassifier((hidden,), **values, max_iter=epochs, random_state=0, batch_size=32)
    losses = []
    for fit, held in StratifiedKFold(3, shuffle=True, random_state=0).split(*_WINE):
        model.fit(_WINE[0][fit], _WINE[1][fit])
        share = model.predict_proba(_WINE[0][held])[np.arange(len(held)), _WINE[1][held]]
        losses.append(-np.log(np.clip(share, 1e-6, 1)).mean())
    return np.mean(losses)


def boosting_diabetes(**values):
    """Return one score for each of the numbers of trees, all from one fit."""
    counts = GRIDS["boosting_diabetes"]["n_estimators"]
    model = GradientBoostingRegressor(**values, n_estimators=counts[-1], random_state=0)
    losses = np.zeros(len(counts))
    for fit, held in KFold(3, shuffle=True, random_state=0).split(_DIABETES[0]):
        model.fit(_DIABETES[0][fit], _DIABETES[1][fit])
        stages = list(model.staged_predict(_DIABETES[0][held]))
        for i, count in enumerate(counts):
            losses[i] += np.sqrt(np.mean((stages[count - 1] - _DIABETES[1][held]) ** 2)) / 3
    return losses


def _error(data, model):
    wrong = []
    for fit, held in StratifiedKFold(3, shuffle=True, random_state=0).split(*data):
        wrong.append(1 - model.fit(data[0][fit], data[1][fit]).score(data[0][held], data[1][held]))
    return np.mean(wrong)


def _loaded(loader, count):
    inputs, targets = loader(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(inputs))[:count]
    return StandardScaler().fit_transform(inputs[order]), targets[order]


def main(names) -> None:
    path = HERE / "tables.npz"
    done = dict(np.load(path)) if path.exists() else {}
    for name in names:
        if name in done:
            continue
        grid = dict(GRIDS[name])
        if name == "boosting_diabetes":
            grid.pop("n_estimators")
        rows = [
            globals()[name](**dict(zip(grid, values, strict=True)))
            for values in itertools.product(*grid.values())
        ]
        done[name] = np.reshape(rows, [len(axis) for axis in GRIDS[name].values()])
        tables: dict[str, Any] = {key: np.float32(table) for key, table in done.items()}
        np.savez_compressed(path, **tables)
        print(name, done[name].size, done[name].min(), np.median(done[name]), flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    _DIGITS, _CANCER = _loaded(load_digits, 500), _loaded(load_breast_cancer, 569)
    _WINE, _DIABETES = _loaded(load_wine, 178), _loaded(load_diabetes, 442)
    main(sys.argv[1:] or list(GRIDS))
