"""neurodeploy: spiking transformers onto neuromorphic cores, bit for bit, with every number traceable."""

__version__ = "0.1.0"
