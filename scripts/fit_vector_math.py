"""Fits the polynomials of Sources/Operators/Elementwise/VectorMath.swift (needs numpy).

Prints, for every function, the weighted maximum error over the interval and the coefficients, lowest power first.
"""
import math

import numpy as np


def fit(function, low, high, degree, weight, rounds=60):
    """Near-minimax polynomial: least squares on Chebyshev nodes, reweighted by the error (Lawson's method)."""
    nodes = np.cos(np.pi * (np.arange(2000) + 0.5) / 2000)
    x = (low + high) / 2 + (high - low) / 2 * nodes
    y, w = function(x), weight(x)
    powers = np.vander(x, degree + 1, increasing=True)
    scale = np.abs(powers).max(0)
    emphasis = np.full(x.size, 1 / x.size)
    for _ in range(rounds):
        s = np.sqrt(emphasis) * w
        coefficients = np.linalg.lstsq(powers / scale * s[:, None], y * s, rcond=None)[0] / scale
        error = np.abs((powers @ coefficients - y) * w)
        emphasis = emphasis * (error + 1e-300)
        emphasis /= emphasis.sum()
    return coefficients, error.max()


erf = np.vectorize(math.erf)
erfc = np.vectorize(math.erfc)


def exp_tail(r):
    return np.where(np.abs(r) < 1e-3, 0.5 + r / 6 + r * r / 24 + r**3 / 120, (np.expm1(r) - r) / (r * r + 1e-300))


def tanh_tail(z):
    x = np.sqrt(z)
    return np.where(z < 1e-4, -1 / 3 + 2 * z / 15 - 17 * z * z / 315, (np.tanh(x) - x) / (x**3 + 1e-300))


def erf_over_x(z):
    x = np.sqrt(z)
    return erf(x) / x


FITS = {
    "exp: (e^r - 1 - r) / r^2": (exp_tail, -0.3466, 0.3466, 4, lambda r: r * r / np.exp(r)),
    "tanh: (tanh x - x) / x^3 in x^2": (tanh_tail, 1e-9, 0.64**2, 4, lambda z: z),
    "erf: erf x / x in x^2": (erf_over_x, 1e-9, 1.0, 6, lambda z: 1 / erf_over_x(z)),
    "erfc: log erfc x": (lambda x: np.log(erfc(x)), 0.98, 5.6, 8, erfc),
}

if __name__ == "__main__":
    for name, arguments in FITS.items():
        coefficients, error = fit(*arguments)
        print(f"{name}: error {error:.2g}\n  " + ", ".join(f"{np.float32(c)!r}" for c in coefficients))
