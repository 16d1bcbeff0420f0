"""Input pipeline, augmentation and the training of one network."""
