"""Post-training quantization: calibration data in, a QDQ model out, which is then the reference."""
