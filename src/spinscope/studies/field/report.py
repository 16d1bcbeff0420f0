"""Text, tables and sections of the report on effective fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spinscope.physics.lattice import helix_pitch
from spinscope.studies.field import figures, measures
from spinscope.studies.field.findings import (
    NEAR,
    SOURCE,
    Seeds,
    annealed,
    denoising_steps,
    distance,
    iterations_until_near,
)
from spinscope.studies.field.measures import Tests
from spinscope.studies.report import Section
from spinscope.studies.statistics import over_seeds

Examples = Mapping[str, Mapping[str, np.ndarray]]
"""Name of a training → spins by the names of `measures.examples`."""

TRUE = "true field"

_PEERS = [
    ("Lee et al., Sci. Rep. 11, 22937 (2021)",
     "effective field of near neighbours, unknown Hamiltonian",
     "the network that is measured here; no public code"),
    ("Cai, Li and Wang, NeuralMAG, Nat. Mach. Intell. (2024), arXiv 2410.14986",
     "demagnetising field by a U-Net inside an LLG solver",
     "the long-range field that this study leaves out; not the solver NeuralMag of Abert et al. "
     "that this project uses"),
    ("Singh and Han, Phys. Rev. B 99, 174426 (2019), arXiv 1806.03749",
     "mean chirality, magnetisation, temperature and field from m_z or from all components",
     "one number per lattice; here the charge follows from completed spins"),
    ("Matthies et al., Phys. Rev. Applied 17, 054022 (2022)",
     "topological charge of a configuration as an image",
     "as above"),
]  # fmt: skip


def about(trainings: Mapping[str, Seeds], tests: Tests, folder: str) -> str:
    """Introduction of the page: lattices, models and the limits of every claim."""
    dmi, kind = tests.hamiltonian.dmi, tests.hamiltonian.dmi_kind
    size = len(tests.lattices[0])
    models = [
        f"{name}: architecture {seeds[0]['architecture']}, {seeds[0]['parameters']} weights, "
        f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}, trained on "
        f"{seeds[0]['trained_on'] or '?'} lattices with their validation (published: 25 000 and "
        "5 000)."
        for name, seeds in trainings.items()
    ]
    return "\n\n".join(
        [
            f"Published: {SOURCE}. No code and no weights are public.",
            f"Measured on {len(tests.lattices)} lattices of {folder}, {size}×{size} sites, "
            f"{kind} DMI D/J = {dmi:g}, annealed by Monte Carlo with another seed than the "
            "training lattices. Noise removal and repair: "
            f"{len(tests.some)} of them. Means and SD are over the seeds of a training; energies "
            "are those of the true Hamiltonian, per site in units of J.",
            "Every claim holds for this Hamiltonian only: a network knows the ratio D/J, the kind "
            "of the DMI and the length scale "
            f"({helix_pitch(dmi):.1f} sites per helix) of its training lattices.",
            *models,
        ]
    )


def sections(
    trainings: Mapping[str, Seeds], references: Mapping[str, Any], shown: Examples, tests: Tests
) -> list[Section]:
    """Sections of the page; the last one names the peers."""
    return [
        _accuracy(trainings),
        _noise(trainings, references, shown, tests),
        _repair(trainings, references, shown, tests),
        _completion(trainings, references, shown, tests),
        _generation(trainings, references, shown),
        _response(trainings, references, shown, tests),
        Section("Related networks", table=(["source", "what it infers", "relation"], _PEERS)),
    ]


def kerr_section(
    name: str,
    scale: Mapping[str, float],
    m_z: np.ndarray,
    spins: Mapping[str, np.ndarray],
    found: Mapping[str, Any],
) -> Section:
    """Section of a measured Kerr image."""
    text = (
        f"{name}: the period of its domains, {scale['period_px']:.1f} px by the power spectrum, is "
        f"mapped to the helix pitch ({scale['sites_per_px']:.2f} sites per px). Grey levels become "
        "m_z; the network infers all components. They are what the training Hamiltonian favours, "
        "not a measurement: a film with another DMI, or with dipolar energy, has other ones. The "
        "sign of the Kerr contrast is not known; reversing it reverses all spins."
    )
    size = min(256, *m_z.shape)
    crop = (slice(size), slice(size))
    panels = [("m_z", m_z[crop]), *((key, m[crop]) for key, m in spins.items())]
    drawn = {f"m_z and inferred spins; {size}×{size} sites.": figures.spin_figure({"": panels})}
    header = ["network", "sites", "energy, J per site", "charge with the mirror images",
              "correlation with m_z of the image"]  # fmt: skip
    rows = [
        [key, f"{row['sites'][0]}×{row['sites'][1]}", row["energy"], row["charge"],
         row["correlation"]]
        for key, row in found.items()
    ]  # fmt: skip
    return Section("A Kerr image", text, drawn, (header, rows))


def _accuracy(trainings: Mapping[str, Seeds]) -> Section:
    header = ["network", "seed", "energy error, %", "R² x", "R² y", "R² z", "MSE, J²", "ms"]
    rows = []
    for name, seeds in trainings.items():
        for one in seeds:
            found = one["accuracy"]
            r2 = [found["r2"][axis] for axis in "xyz"]
            error = f"{100 * found['energy_error']:.3g}"
            row = [name, one["seed"], error, *r2, f"{found['mse']:.2g}", found["frame_ms"]]
            rows.append(row)
    text = (
        "Inferred and true field on the test lattices; ms: one lattice, with the load of the day."
    )
    return Section("Effective field", text, table=(header, rows))


def _noise(trainings, references, shown: Examples, tests: Tests) -> Section:
    alphas = measures.ALPHAS[2::2]
    drawn = {
        f"α = {alpha:g}": [
            ("without noise", tests.lattices[0]),
            ("with noise", tests.noisy(0, alpha)),
            *((name, spins[f"denoised {alpha}"]) for name, spins in shown.items()),
        ]
        for alpha in alphas
    }
    header = ["α", "before, °", "best Gaussian filter, °", *trainings, TRUE]
    rows = []
    steps = {
        name: denoising_steps([one["denoise"] for one in seeds])
        for name, seeds in {**trainings, TRUE: [references["true"]]}.items()
    }
    for place, true in enumerate(references["true"]["denoise"]):
        ours = [
            over_seeds(seeds, "denoise", place, "angles", steps[name])["mean"]
            for name, seeds in trainings.items()
        ]
        filtered = references["smooth"][place]["after"]["mean"]
        cells = [true["before"]["mean"], filtered, *ours, true["angles"][steps[TRUE]]]
        rows.append([f"{true['alpha']:g}", *cells])
    widths = ", ".join(f"{width:g}" for width in measures.SMOOTHING)
    text = (
        "S' = S + αR of length 1, R uniform on the sphere, then iterations of S → F/|F|: "
        f"{', '.join(f'{name} {count}' for name, count in steps.items())} (1 or "
        f"{measures.DENOISING}, whichever is better for all noise). The Gaussian filter is the "
        f"best of the widths {widths} sites, chosen by the true spins."
    )
    return Section(
        "Noise",
        text,
        {
            "Mean angle before and after.": figures.noise_figure(trainings, references),
            "One lattice.": figures.spin_figure(drawn),
        },
        (header, rows),
    )


def _repair(trainings, references, shown: Examples, tests: Tests) -> Section:
    titles = {"rows": "rows of noise", "square": "erased square"}
    drawn = {
        title: [
            ("true", tests.lattices[0]),
            ("damaged", tests.broken(0, kind)[0]),
            *((name, spins[kind]) for name, spins in shown.items()),
        ]
        for kind, title in titles.items()
    }
    header = ["defect", *trainings, TRUE]
    rows = []
    for place, true in enumerate(references["true"]["repair"]):
        ours = [
            over_seeds(seeds, "repair", place, "after", "mean")["mean"]
            for seeds in trainings.values()
        ]
        rows.append([titles[true["kind"]], *ours, true["after"]["mean"]])
    text = (
        f"{measures.ROWS} rows of random spins, or a square of {measures.SIDE}×{measures.SIDE} "
        f"sites without spins, and {measures.REPAIRING} iterations; the other sites are kept. "
        "Table: mean angle in degrees to the true spins at the sites of the defect."
    )
    return Section(
        "Defects",
        text,
        {
            "Mean angle in the defect.": figures.repair_figure(trainings, references),
            "One lattice.": figures.spin_figure(drawn),
        },
        (header, rows),
    )


def _completion(trainings, references, shown: Examples, tests: Tests) -> Section:
    m = tests.lattices[0]
    gradient = measures.along_gradient(m[..., 2], tests.hamiltonian)
    drawn = {
        "": [
            ("true", m),
            ("m_z", m[..., 2]),
            ("gradient of m_z", gradient),
            *((name, spins["completed"]) for name, spins in shown.items()),
        ]
    }
    header = ["method", "mean angle, °", "charge right, %"]
    rows: list[list] = []
    for name, seeds in trainings.items():
        angle = over_seeds(seeds, "complete", "angle", "mean")["mean"]
        right = over_seeds(seeds, "complete", "charge_right", factor=100)["mean"]
        rows.append([name, angle, right])
    others = (TRUE, references["true"]["complete"]), ("gradient of m_z", references["gradient"])
    for name, one in others:
        rows.append([name, one["angle"]["mean"], 100 * one["charge_right"]])
    text = (
        f"m_z is given and kept; {measures.COMPLETING} iterations infer the in-plane components. "
        f"All {len(tests.lattices)} test lattices. The baseline takes the in-plane direction from "
        "the gradient of m_z, in the sense of lower energy."
    )
    return Section("All components from m_z", text, {"One lattice.": figures.spin_figure(drawn)},
                   (header, rows))  # fmt: skip


def _generation(trainings, references, shown: Examples) -> Section:
    header = ["method", "energy, J per site", "above the annealed one, %",
              f"iterations until {NEAR:g} %", "seconds until then"]  # fmt: skip
    rows: list[list] = []
    lines = [(name, [one["generate"] for one in seeds]) for name, seeds in trainings.items()]
    for name, many in [*lines, (TRUE, [references["true"]["generate"]])]:
        last = float(np.mean([one["last"]["mean"] for one in many]))
        mean = np.mean([one["energy"] for one in many], axis=0).tolist()
        near = iterations_until_near(mean, references)
        seconds = float(np.median([one["seconds"] for one in many]))
        until = ["never", "–"] if near is None else [str(near), near * seconds]
        rows.append([name, last, distance(last, references), *until])
    for row in references["anneal"]:
        above, energy = distance(row["energy"]["mean"], references), row["energy"]["mean"]
        near = row["seconds"] if above <= NEAR else "never"
        rows.append([f"Monte Carlo, {row['sweeps']} sweeps", energy, above, "–", near])
    text = (
        f"{measures.STARTS} random starts, {measures.ITERATIONS} iterations, no Monte Carlo. The "
        "annealed energy is that of the schedule of the corpus "
        f"({annealed(references)['sweeps']} heat-bath sweeps). A uniform lattice has −2 J per site "
        "and a helix −2.044: one per cent of the energy is half of what the DMI gains, and a short "
        "quench by compiled Monte Carlo passes it as well. Seconds are those of the calls of the "
        "field, on a busy machine; benchmarks/generate.py measures the speedup."
    )
    drawn = {"": [(name, spins["generated"]) for name, spins in shown.items()]}
    return Section(
        "Generation",
        text,
        {
            "Mean over the starts; dotted: 1 %.": figures.generation_figure(trainings, references),
            f"After {measures.ITERATIONS} iterations from the same random spins.": (
                figures.spin_figure(drawn)
            ),
        },
        (header, rows),
    )


def _response(trainings, references, shown: Examples, tests: Tests) -> Section:
    fields = measures.FIELDS
    titles = [f"B = {external:g} J" for external in fields]
    carlo = measures.monte_carlo(tests)
    drawn = {
        "Monte Carlo": [("B = 0", tests.lattices[0]), *zip(titles, carlo, strict=True)],
        **{
            name: [
                ("B = 0", tests.lattices[0]),
                *zip(titles, (spins[f"response {one}"] for one in fields), strict=True),
            ]
            for name, spins in shown.items()
        },
    }
    header = ["method", *(f"{what}, B = {one:g}" for one in fields for what in ("M_z", "charge"))]
    rows: list[list] = [["Monte Carlo", *_states(references["respond"])]]
    for kind in ("thermal", "greedy"):
        for name, seeds in [*trainings.items(), (TRUE, [references["true"]])]:
            states = [
                {
                    key: over_seeds(seeds, "respond", place, kind, key)["mean"]
                    for key in ("mz", "charge")
                }
                for place in range(len(fields))
            ]
            rows.append([f"{name}, {kind}", *_states(states)])
    text = (
        "One labyrinth in rising external fields along +z: F + B in place of F. Thermal agitation "
        f"of {measures.TEMPERATURE:g} J takes the spins over the barriers, then cools, at each "
        "field. A network that corrects disordered spins removes the agitation, so the linear "
        "convolution of the architecture local takes its place; a network without this part gets "
        "none. Greedy (dotted): without agitation; the stripes become narrower but do not break. "
        f"Monte Carlo: annealing from {measures.WARM:g} J in each field."
    )
    return Section(
        "External field",
        text,
        {
            "M_z and topological charge.": figures.response_figure(trainings, references),
            "The labyrinth in rising fields, with thermal agitation.": figures.spin_figure(drawn),
        },
        (header, rows),
    )


def _states(states: Sequence[Mapping[str, float]]) -> list[float]:
    """M_z and charge of each field in one line."""
    return [round(float(one[key]), 3) for one in states for key in ("mz", "charge")]
