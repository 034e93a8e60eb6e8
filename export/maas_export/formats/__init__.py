"""The forms in which a network is served: ``onnx``, and what is derived from a verified ``onnx`` bundle."""
