"""Quantization-aware training of the whole network, from the retrained head on.

The classifier trains with batch norm in float, then, folded, with the fake quantization that ships. `views` is what the network
sees, `tuner` the network in training (the only module here that imports TensorFlow), `run` the loop, `cost` what a run takes.
"""
