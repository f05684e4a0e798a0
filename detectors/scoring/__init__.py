"""What a scan needs of a detector: views, networks prepared for inference, calibration, thresholds."""
