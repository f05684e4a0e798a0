"""The one gate through which clips enter: sniffed, bounded, decoded in a process that can be stopped."""
