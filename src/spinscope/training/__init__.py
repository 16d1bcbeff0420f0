"""Input pipeline, augmentation and the fit of one network."""
