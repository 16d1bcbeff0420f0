"""Networks on Lorentz images: McCray et al., APL Mach. Learn. 2, 026120 (2024)."""
