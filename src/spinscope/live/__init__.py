"""A recording in, masks and measurements out, as fast as the frames come."""
