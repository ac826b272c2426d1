"""The MLflow run of a stage, and the execution of the pipeline that it belongs to."""
