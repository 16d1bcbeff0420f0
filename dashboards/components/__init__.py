"""Building blocks that the pages share; `app.py` and the pages are the only entry points."""
