"""The training process: the only place that builds a TRL trainer. It knows nothing of any screen."""
