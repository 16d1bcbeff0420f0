"""Published findings, measured with our models; one folder per study."""
