"""A person's own model: a torch module in the project's folder. What it is told stands in `Spec`.

docs/own-model.md is the protocol, with a sample project.
"""

from epochal.train.own.spec import Input, OptimiserSettings, Spec, Split


__all__ = ["Input", "OptimiserSettings", "Spec", "Split"]
