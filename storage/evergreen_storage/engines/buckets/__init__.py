"""The engine for object stores: S3, Google Cloud Storage and Azure, on obstore."""
