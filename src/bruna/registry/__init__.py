"""`bruna register`: the trained networks as a version of a model in MLflow's registry, and back."""
