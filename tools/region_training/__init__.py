"""How the region network was made: masks, pictures with a synthetic part, the network, its training."""
