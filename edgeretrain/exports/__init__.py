"""What a run exports besides its integer .tflite: SavedModel, frozen GraphDef, labels, .tflite files of floats.

`spec` says what is wanted, `writing` writes and checks it, `result` does so for a finished run; only `graphs` and `jpeg` import
TensorFlow. Nothing is imported here, so that the command line can ask for options.
"""
