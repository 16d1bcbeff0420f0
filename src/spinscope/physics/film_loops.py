"""Loops over the cells of a periodic film, compiled by Numba.

Arrays are float32 and contiguous; those of vectors are (3, H, W). The cells between the first and
the last of a row are one vectorised loop. No loop holds Python's lock, as films are relaxed in
threads.
"""

from __future__ import annotations

import numpy as np

from spinscope.extras import explained

with explained():
    from numba import njit

F = np.float32
# Sums may be reordered, so that they vectorise. No value may be NaN: callers check that.
_compiled = njit(
    nogil=True, error_model="numpy", fastmath={"nnan", "ninf", "nsz", "arcp", "contract", "reassoc"}
)


@_compiled
def field(m, stray, along_x, along_y, ku, scale, dmi, zeeman, bulk, h):
    """Write the effective field h (3, H, W) in A/m.

    Parameters
    ----------
    m, stray : (3, H, W) arrays
        Unit magnetisation, and its demagnetising field in A/m.
    along_x, along_y : (H, W) arrays
        2 A / a² of the links with the next cells, J/m³.
    ku, scale : (H, W) arrays
        2 Ku in J/m³, and 1 / (mu_0 Ms) in m/A.
    dmi, zeeman : float32
        D / a in J/m³, and the external field in A/m.
    bulk : bool
        Whether the DMI is that of a bulk crystal.
    """
    height, width = ku.shape
    for i in range(height):
        rows = (i, i - 1 if i > 0 else height - 1, i + 1 if i < height - 1 else 0)
        for columns, n in (
            ((0, width - 1, 1), 1),
            ((1, 0, 2), width - 2),
            ((width - 1, width - 2, 0), 1),
        ):
            _field(
                m, stray, along_x, along_y, ku, scale, dmi, zeeman, bulk, h, rows, columns, n
            )  # fmt: skip


@_compiled
def _field(m, stray, along_x, along_y, ku, scale, dmi, zeeman, bulk, h, rows, columns, n):
    """Write the field of n cells of a row; `rows` and `columns`: theirs, those before and after."""
    i, above, below = rows
    here, before, after = (
        slice(columns[0], columns[0] + n),
        slice(columns[1], columns[1] + n),
        slice(columns[2], columns[2] + n),
    )
    x, y, z = m[0, i][here], m[1, i][here], m[2, i][here]
    x_left, y_left, z_left = m[0, i][before], m[1, i][before], m[2, i][before]
    x_right, y_right, z_right = m[0, i][after], m[1, i][after], m[2, i][after]
    x_up, y_up, z_up = m[0, above][here], m[1, above][here], m[2, above][here]
    x_down, y_down, z_down = m[0, below][here], m[1, below][here], m[2, below][here]
    left, right = along_x[i][before], along_x[i][here]
    up, down = along_y[above][here], along_y[i][here]
    s_x, s_y, s_z = stray[0, i][here], stray[1, i][here], stray[2, i][here]
    h_x, h_y, h_z = h[0, i][here], h[1, i][here], h[2, i][here]
    k, c = ku[i][here], scale[i][here]
    for j in range(n):
        u, v, w = x[j], y[j], z[j]
        a, b, d, e = left[j], right[j], up[j], down[j]
        f_x = a * (x_left[j] - u) + b * (x_right[j] - u) + d * (x_up[j] - u) + e * (x_down[j] - u)
        f_y = a * (y_left[j] - v) + b * (y_right[j] - v) + d * (y_up[j] - v) + e * (y_down[j] - v)
        f_z = a * (z_left[j] - w) + b * (z_right[j] - w) + d * (z_up[j] - w) + e * (z_down[j] - w)
        if bulk:
            f_x -= dmi * (z_down[j] - z_up[j])
            f_y += dmi * (z_right[j] - z_left[j])
            f_z += dmi * ((x_down[j] - x_up[j]) - (y_right[j] - y_left[j]))
        else:
            f_x += dmi * (z_right[j] - z_left[j])
            f_y += dmi * (z_down[j] - z_up[j])
            f_z -= dmi * ((x_right[j] - x_left[j]) + (y_down[j] - y_up[j]))
        h_x[j] = f_x * c[j] + s_x[j]
        h_y[j] = f_y * c[j] + s_y[j]
        h_z[j] = (f_z + k[j] * w) * c[j] + s_z[j] + zeeman


@_compiled
def multiply(tensor, spectrum):
    """Multiply a spectrum (3, H, W // 2 + 1) by a symmetric tensor xx, xy, yy, zz, in place."""
    for i in range(spectrum.shape[1]):
        for j in range(spectrum.shape[2]):
            x, y, xy = spectrum[0, i, j], spectrum[1, i, j], tensor[1, i, j]
            spectrum[0, i, j] = tensor[0, i, j] * x + xy * y
            spectrum[1, i, j] = xy * x + tensor[2, i, j] * y
            spectrum[2, i, j] = tensor[3, i, j] * spectrum[2, i, j]


@_compiled
def tangential(m, p, square):
    """Remove the part of p along m, in place, and write the square of what is left, (H, W)."""
    for i in range(m.shape[1]):
        for j in range(m.shape[2]):
            x, y, z = m[0, i, j], m[1, i, j], m[2, i, j]
            along = x * p[0, i, j] + y * p[1, i, j] + z * p[2, i, j]
            p_x, p_y, p_z = p[0, i, j] - along * x, p[1, i, j] - along * y, p[2, i, j] - along * z
            p[0, i, j], p[1, i, j], p[2, i, j] = p_x, p_y, p_z
            square[i, j] = p_x * p_x + p_y * p_y + p_z * p_z


@_compiled
def hold(p, square, friction):
    """Shorten each vector of p by the friction, in place, and its square with it."""
    for i in range(square.shape[0]):
        for j in range(square.shape[1]):
            part = max(F(0), F(1) - friction / max(np.sqrt(square[i, j]), F(1e-6)))
            for n in range(3):
                p[n, i, j] *= part
            square[i, j] *= part * part


@_compiled
def move(m, q, length, ms, moved, source):
    """Write the unit vectors along m + length q, and the same times Ms."""
    for i in range(m.shape[1]):
        for j in range(m.shape[2]):
            x = m[0, i, j] + length * q[0, i, j]
            y = m[1, i, j] + length * q[1, i, j]
            z = m[2, i, j] + length * q[2, i, j]
            k = F(1) / np.sqrt(x * x + y * y + z * z)
            x, y, z = x * k, y * k, z * k
            moved[0, i, j], moved[1, i, j], moved[2, i, j] = x, y, z
            k = ms[i, j]
            source[0, i, j], source[1, i, j], source[2, i, j] = x * k, y * k, z * k


@_compiled
def products(ms, m, moved, p, p_new, q, q_new):
    """Sums over the cells of Ms s·y, Ms q·p and Ms y·(q - q'), with s = m' - m and y = p - p'."""
    s_y, q_p, y_z = 0.0, 0.0, 0.0
    for i in range(m.shape[1]):
        a, b, c = F(0), F(0), F(0)  # of a row; the film is summed in double precision
        for j in range(m.shape[2]):
            for n in range(3):
                y = ms[i, j] * (p[n, i, j] - p_new[n, i, j])
                a += y * (moved[n, i, j] - m[n, i, j])
                b += ms[i, j] * q[n, i, j] * p[n, i, j]
                c += y * (q[n, i, j] - q_new[n, i, j])
        s_y, q_p, y_z = s_y + a, q_p + b, y_z + c
    return s_y, q_p, y_z
