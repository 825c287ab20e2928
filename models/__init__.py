"""The systems of the zoo as plain torch modules; loaded by :mod:`neurodeploy.sources.zoo` as ``neurodeploy_models``."""
