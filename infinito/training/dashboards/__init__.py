"""Dashboards that show a training: TensorBoard, Weights & Biases, MLflow, each by one interface."""
