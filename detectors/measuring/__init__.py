"""What a detector is measured by: deliveries, leave-one-out, localisation, the control."""
