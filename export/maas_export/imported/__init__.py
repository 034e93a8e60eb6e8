"""``maas import``: a bare ONNX file becomes a bundle, without a server and without the torch module behind it."""
