"""How fast, how small and how good a .tflite is, and how sure that is. Nothing here imports TensorFlow."""
