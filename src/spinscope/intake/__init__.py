"""From raw camera frames to a clean recording: drift, background, light, stripes, hot pixels."""
