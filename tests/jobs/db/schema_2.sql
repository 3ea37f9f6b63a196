-- The tables of schema version 2, as they were made by the release that had it; {binary} is the database's own type.

CREATE TABLE inline_media (
  job_id VARCHAR NOT NULL,
  digest VARCHAR NOT NULL,
  data {binary} NOT NULL,
  PRIMARY KEY (job_id, digest)
);

CREATE TABLE job_events (
  project_id VARCHAR NOT NULL,
  revision BIGINT NOT NULL,
  job_id VARCHAR NOT NULL,
  kind VARCHAR NOT NULL,
  state VARCHAR NOT NULL,
  event {binary} NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (project_id, revision)
);

CREATE TABLE ledger (
  job_id VARCHAR NOT NULL,
  attempt INTEGER NOT NULL,
  entry VARCHAR NOT NULL,
  project_id VARCHAR NOT NULL,
  millicredits BIGINT NOT NULL,
  basis VARCHAR NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (job_id, attempt, entry)
);

CREATE INDEX ix_ledger_project_id ON ledger (project_id);

CREATE TABLE model_queues (
  model VARCHAR NOT NULL,
  paused_until BIGINT DEFAULT '0' NOT NULL,
  pause_seconds FLOAT DEFAULT '0' NOT NULL,
  daily_probe_at BIGINT,
  no_credits_since BIGINT,
  refused_balance BIGINT,
  PRIMARY KEY (model)
);

CREATE TABLE projects (
  project_id VARCHAR NOT NULL,
  revision BIGINT NOT NULL,
  compacted_revision BIGINT DEFAULT '0' NOT NULL,
  reserved_millicredits BIGINT DEFAULT '0' NOT NULL,
  confirmed_millicredits BIGINT DEFAULT '0' NOT NULL,
  bounded_millicredits BIGINT DEFAULT '0' NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (project_id)
);

CREATE TABLE provider_tasks (
  task_id VARCHAR NOT NULL,
  job_id VARCHAR NOT NULL,
  attempt INTEGER NOT NULL,
  submit_token VARCHAR NOT NULL,
  estimated_millicredits BIGINT,
  role VARCHAR DEFAULT 'OWN' NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (task_id)
);

CREATE INDEX ix_provider_tasks_job_id ON provider_tasks (job_id);

CREATE INDEX provider_tasks_by_age ON provider_tasks (created_at);

CREATE TABLE replicas (
  replica_id VARCHAR NOT NULL,
  beat_at BIGINT NOT NULL,
  PRIMARY KEY (replica_id)
);

CREATE TABLE requests (
  project_id VARCHAR NOT NULL,
  request_id VARCHAR NOT NULL,
  digest VARCHAR NOT NULL,
  job_id VARCHAR NOT NULL,
  PRIMARY KEY (project_id, request_id)
);

CREATE TABLE scene_deletions (
  project_id VARCHAR NOT NULL,
  scene_id VARCHAR NOT NULL,
  replica VARCHAR DEFAULT '' NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (project_id, scene_id)
);

CREATE TABLE turns (
  model VARCHAR NOT NULL,
  project_id VARCHAR NOT NULL,
  served_at BIGINT NOT NULL,
  PRIMARY KEY (model, project_id)
);

CREATE TABLE jobs (
  job_id VARCHAR NOT NULL,
  project_id VARCHAR NOT NULL,
  scene_id VARCHAR NOT NULL,
  request_id VARCHAR NOT NULL,
  digest VARCHAR NOT NULL,
  model VARCHAR NOT NULL,
  spec JSON NOT NULL,
  labels JSON NOT NULL,
  priority INTEGER NOT NULL,
  max_attempts INTEGER NOT NULL,
  on_unknown_submission VARCHAR NOT NULL,
  max_millicredits BIGINT,
  start_by BIGINT NOT NULL,
  finish_by BIGINT,
  state VARCHAR NOT NULL,
  stage VARCHAR NOT NULL,
  revision BIGINT NOT NULL,
  progress FLOAT NOT NULL,
  attempt INTEGER NOT NULL,
  run INTEGER NOT NULL,
  execution VARCHAR NOT NULL,
  replica VARCHAR DEFAULT '' NOT NULL,
  slot VARCHAR,
  not_before BIGINT,
  submit_token VARCHAR NOT NULL,
  submitted_at BIGINT,
  task_id VARCHAR NOT NULL,
  delete_sent BOOLEAN NOT NULL,
  estimated_millicredits BIGINT,
  charged_millicredits BIGINT,
  cost_basis VARCHAR,
  charge_basis VARCHAR,
  inputs JSON NOT NULL,
  outputs JSON NOT NULL,
  warnings JSON NOT NULL,
  error JSON,
  created_at BIGINT NOT NULL,
  started_at BIGINT,
  updated_at BIGINT NOT NULL,
  ended_at BIGINT,
  PRIMARY KEY (job_id),
  FOREIGN KEY(project_id) REFERENCES projects (project_id)
);

CREATE INDEX jobs_by_end ON jobs (ended_at);

CREATE INDEX jobs_by_project ON jobs (project_id, job_id);

CREATE INDEX jobs_by_slot ON jobs (slot, model, priority, project_id, job_id) WHERE slot IS NOT NULL;

CREATE INDEX jobs_by_state ON jobs (state, job_id);

CREATE TABLE scene_writers (
  writer_id VARCHAR NOT NULL,
  project_id VARCHAR NOT NULL,
  scene_id VARCHAR NOT NULL,
  replica_id VARCHAR NOT NULL,
  PRIMARY KEY (writer_id),
  FOREIGN KEY(replica_id) REFERENCES replicas (replica_id) ON DELETE CASCADE
);

CREATE INDEX scene_writers_by_scene ON scene_writers (project_id, scene_id);

CREATE TABLE storage_locks (
  "key" VARCHAR NOT NULL,
  holder VARCHAR NOT NULL,
  replica_id VARCHAR NOT NULL,
  PRIMARY KEY ("key"),
  UNIQUE (holder),
  FOREIGN KEY(replica_id) REFERENCES replicas (replica_id) ON DELETE CASCADE
);

CREATE TABLE schema_version (
  version INTEGER NOT NULL
);

INSERT INTO schema_version VALUES (2);
