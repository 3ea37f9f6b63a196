"""The steps of a job: prepare, submit, follow, deliver."""
