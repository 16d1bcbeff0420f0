"""Plugin of napari: open recordings, segment them, correct masks, and show tracks."""
