"""How long a training is: planned from the configuration, or from the minutes that it may take."""
