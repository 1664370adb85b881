"""Environment variables that pods read from the namespace's ConfigMap and Secret, by service."""

RESOURCE_NAME = "adloom"  # of the ConfigMap and the Secret; missing keys stay unset
CONFIG_MAP_KEYS = {
    "s3": ["AWS_ENDPOINT_URL_S3", "AWS_REGION"],
    "dvc": ["ADLOOM_DVC_REMOTE"],
    "checkpoints": ["ADLOOM_CHECKPOINT_URI"],
    "artifacts": ["ADLOOM_ARTIFACTS_ENDPOINT"],
    "kfp": ["ADLOOM_KFP_ENDPOINT"],
    "library": ["ADLOOM_LIBRARY_FILES"],
    "trigger": ["ADLOOM_TRIGGER_URL"],
    "mlflow": ["MLFLOW_TRACKING_URI", "MLFLOW_S3_ENDPOINT_URL", "MLFLOW_HTTP_REQUEST_TIMEOUT"],
}
SECRET_KEYS = {
    "s3": ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"],
    "library": ["ADLOOM_LIBRARY_URL"],
    "mlflow": ["MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"],
    "pseudonyms": ["ADLOOM_PSEUDONYM_KEY"],
    "trigger": ["ADLOOM_TOKEN"],
    "webhook": ["ADLOOM_WEBHOOK_URL"],
}
TRAINING_SERVICES = ("s3", "mlflow", "checkpoints")  # services that training stages use
