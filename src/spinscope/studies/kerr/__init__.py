"""Networks on Kerr images: Labrie-Boulay, Winkler et al., Phys. Rev. Applied 21, 014014 (2024)."""
