"""The systems of the zoo as plain torch modules; loaded by :mod:`neurodeploy.zoo` as ``neurodeploy_models``."""
