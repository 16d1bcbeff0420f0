"""The dashboard, one file per page; `spinscope serve` starts it."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from components import layout

HERE = Path(__file__).parent

st.set_page_config("spinscope", str(HERE / "logo.svg"), layout="wide")
st.logo(str(HERE / "logo.svg"), size="large")
st.html("<style>.stMainBlockContainer { padding: 2.5rem 3rem }</style>")
layout.remember_choices()
pages = [
    st.Page(
        HERE / "predictions.py", title="Predictions", icon=":material/image_search:", default=True
    ),
    st.Page(HERE / "intake.py", title="Intake", icon=":material/photo_camera:"),
    st.Page(HERE / "review.py", title="Review", icon=":material/brush:"),
    st.Page(HERE / "results.py", title="Results", icon=":material/table_chart:"),
    st.Page(HERE / "compare.py", title="Comparison", icon=":material/difference:"),
    st.Page(HERE / "sizes.py", title="Sizes", icon=":material/bar_chart:"),
    st.Page(HERE / "seeds.py", title="Seeds", icon=":material/scatter_plot:"),
    st.Page(HERE / "registry.py", title="Registry", icon=":material/inventory_2:"),
    st.Page(HERE / "drift.py", title="Drift", icon=":material/trending_up:"),
    st.Page(HERE / "likeness.py", title="Simulated and real", icon=":material/compare:"),
    st.Page(HERE / "lorentz.py", title="Lorentz", icon=":material/blur_on:"),
    st.Page(HERE / "field.py", title="Effective field", icon=":material/explore:"),
    st.Page(HERE / "estimate.py", title="Parameters", icon=":material/straighten:"),
    st.Page(HERE / "probes.py", title="Probes", icon=":material/experiment:"),
]
st.navigation(pages, expanded=True).run()
