"""Distillation: a student of any width learns a teacher's embeddings (and logits) of unlabelled photos.

Hinton et al. 2015 (arXiv:1503.02531) for logits, Romero et al. 2015 (arXiv:1412.6550) for features through a linear layer.
`spec` holds the options, `teacher` and `pool` what is learnt and from which views, `student` the networks in training (the
only module here that imports TensorFlow), `checkpoint` what survives a kill, `quality` what is measured, `run` the steps.
"""
